//! Whom the door trusts: servers whose certificates the operator's files vouch for, by the name that was asked for, and no
//! others. Certificates are made by `openssl`; where there is none these tests are skipped by name.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A company's certificate authority in a folder, and a server's certificate by it, for this name.
struct Company {
    folder: tempfile::TempDir,
}

impl Company {
    /// None where certificates cannot be made.
    fn new(test: &str, server: &str) -> Option<Company> {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let script = format!(
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=company -keyout ca.key -out ca.pem
             openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr
             printf 'subjectAltName=%s\\n' '{server}' > names
             openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem"
        );
        let made = Command::new("sh").args(["-ec", &script]).current_dir(folder.path()).output();
        if made.is_ok_and(|output| output.status.success()) {
            return Some(Company { folder });
        }
        eprintln!("skipped: {test} (there is no openssl)");
        None
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The TLS of its servers.
    fn tls(&self) -> Arc<rustls::ServerConfig> {
        let chain = vec![CertificateDer::from_pem_file(self.file("server.pem")).expect("it was made")];
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).expect("it was made");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        Arc::new(config.expect("it is a certificate with its key"))
    }

    /// A server that answers every connection with "ok", over TLS.
    fn serve(&self) -> u16 {
        let config = self.tls();
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut tls = rustls::ServerConnection::new(config.clone()).expect("it is a server's configuration");
                let mut tls = rustls::Stream::new(&mut tls, &mut stream);
                // One that does not trust us goes away.
                let _ = tls.read(&mut [0; 4096]);
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        });
        port
    }

    /// TLS before a server of this machine that knows none.
    #[allow(clippy::disallowed_types, clippy::disallowed_methods)]
    fn serve_before(&self, port: u16) -> u16 {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.tls());
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        listener.set_nonblocking(true).expect("it is a socket");
        let own = listener.local_addr().expect("it is bound").port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // Ends with the test's process.
        std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("it is a socket");
                while let Ok((client, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        // One that does not trust us goes away.
                        let mut client = acceptor.accept(client).await?;
                        let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
                        tokio::io::copy_bidirectional(&mut client, &mut server).await
                    });
                }
            });
        });
        own
    }

    /// A door that trusts it, with this proxy.
    fn by(&self, url: &str, no_proxy: &[&str]) -> Egress {
        let no_proxy = no_proxy.iter().map(|&host| host.to_owned()).collect();
        let proxy = Some(crate::config::ProxySettings { url: crate::config::ProxyUrl::new(url.to_owned()), no_proxy });
        let settings = EgressSettings { ca_files: vec![self.file("ca.pem")], proxy, ..EgressSettings::default() };
        let shutdown = Shutdown::default();
        Egress::open(&settings, crate::secrets::Sources::new(None, &shutdown), &shutdown).expect("it is a proxy")
    }
}

fn trusting(files: &[&Path]) -> Result<Egress, String> {
    let ca_files = files.iter().map(|file| (*file).to_owned()).collect();
    let (settings, shutdown) = (EgressSettings { ca_files, ..EgressSettings::default() }, Shutdown::default());
    Egress::open(&settings, crate::secrets::Sources::new(None, &shutdown), &shutdown)
}

fn asked(egress: &Egress, port: u16) -> Result<Response, EgressError> {
    let mut policy = policy("127.0.0.1", port);
    for rule in policy.asked.iter_mut().chain(&mut policy.granted) {
        rule.scheme = "https".to_owned();
    }
    send(egress, &policy, get(&format!("https://127.0.0.1:{port}/")))
}

#[test]
fn a_companys_own_certificates_are_trusted_where_the_operator_says_so() {
    let Some(company) =
        Company::new("a_companys_own_certificates_are_trusted_where_the_operator_says_so", "IP:127.0.0.1")
    else {
        return;
    };
    let port = company.serve();
    let refused = asked(&Egress::new(), port);
    assert!(matches!(refused, Err(EgressError::Tls(_))), "{refused:?}");
    let trusting = trusting(&[&company.file("ca.pem")]).expect("it is a file of certificates");
    assert_eq!(asked(&trusting, port).expect("the company vouches for it").body, "ok");
}

/// The proxy's user and password, in which stands what a URL must have encoded.
const PASSWORD: &str = "me:p|^\u{fc}w";

/// A proxy that makes tunnels to servers of this machine for who has its password, and keeps all that it can read.
#[allow(clippy::disallowed_types)]
fn tunnels(read: &Arc<Mutex<Vec<u8>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
    let port = listener.local_addr().expect("it is bound").port();
    let read = Arc::clone(read);
    // Ends with the test's process.
    std::thread::spawn(move || {
        for mut guest in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && guest.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            read.lock().expect("no test panics while holding it").extend_from_slice(&head);
            let head = String::from_utf8_lossy(&head).into_owned();
            let to = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            let known = crate::secrets::base64(PASSWORD.as_bytes());
            if !head.contains(&format!("Proxy-Authorization: Basic {known}\r\n")) {
                let _ = guest.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            let Ok(mut server) = std::net::TcpStream::connect(to) else { continue };
            let _ = guest.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            let (Ok(mut up), Ok(mut down)) = (guest.try_clone(), server.try_clone()) else { continue };
            let read = Arc::clone(&read);
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(size @ 1..) = up.read(&mut piece) {
                    read.lock().expect("no test panics while holding it").extend_from_slice(&piece[..size]);
                    if server.write_all(&piece[..size]).is_err() {
                        return;
                    }
                }
            });
            let _ = std::io::copy(&mut down, &mut guest);
        }
    });
    port
}

#[test]
fn a_proxy_makes_a_tunnel_and_sees_nothing_of_what_goes_through() {
    let Some(company) = Company::new("a_proxy_makes_a_tunnel_and_sees_nothing_of_what_goes_through", "IP:127.0.0.1")
    else {
        return;
    };
    let read = Arc::default();
    let (server, proxy) = (company.serve(), tunnels(&read));
    let by = |user: &str, no_proxy: &[&str]| {
        asked(&company.by(&format!("http://{user}127.0.0.1:{proxy}"), no_proxy), server)
    };
    let seen = || String::from_utf8_lossy(&read.lock().expect("no test panics while holding it")).into_owned();
    let known = format!("{PASSWORD}@");
    assert_eq!(by(&known, &["127.0.0.0/8"]).expect("it goes by itself").body, "ok");
    assert_eq!(seen(), "");
    assert_eq!(by(&known, &[]).expect("there is a tunnel").body, "ok");
    assert!(seen().starts_with(&format!("CONNECT 127.0.0.1:{server} HTTP/1.1\r\n")), "{}", seen());
    assert!(!seen().contains("GET /"), "{}", seen());
    let refused = by("", &[]);
    assert!(matches!(&refused, Err(EgressError::Connection(why)) if why.contains("proxy")), "{refused:?}");
}

/// To the proxy itself TLS is spoken, and what the operator trusts is trusted there too, and nothing else.
#[test]
fn a_proxy_that_speaks_tls_is_trusted_as_servers_are() {
    let Some(company) = Company::new("a_proxy_that_speaks_tls_is_trusted_as_servers_are", "IP:127.0.0.1") else {
        return;
    };
    let Some(stranger) = Company::new("a_proxy_that_speaks_tls_is_trusted_as_servers_are", "IP:127.0.0.1") else {
        return;
    };
    let (read, server) = (Arc::default(), company.serve());
    let proxy = tunnels(&read);
    let url = |port: u16| format!("https://{PASSWORD}@127.0.0.1:{port}");
    let seen = || String::from_utf8_lossy(&read.lock().expect("no test panics while holding it")).into_owned();
    let refused = asked(&company.by(&url(stranger.serve_before(proxy)), &[]), server);
    assert!(matches!(refused, Err(EgressError::Tls(_))), "{refused:?}");
    assert_eq!(seen(), "");
    let through = asked(&company.by(&url(company.serve_before(proxy)), &[]), server);
    assert_eq!(through.expect("there is a tunnel").body, "ok");
    assert!(seen().starts_with(&format!("CONNECT 127.0.0.1:{server} HTTP/1.1\r\n")), "{}", seen());
    assert!(!seen().contains("GET /"), "{}", seen());
    // To a server without TLS the proxy is asked itself: one that answers everything, in the name of one that is not there.
    let plain = |proxy: u16| send(&company.by(&url(proxy), &[]), &policy("127.0.0.1", 9), get("http://127.0.0.1:9/"));
    assert_eq!(plain(company.serve()).expect("the proxy answers").body, "ok");
    let refused = plain(stranger.serve());
    assert!(matches!(refused, Err(EgressError::Tls(_))), "{refused:?}");
}

/// Without this, requests would go past it.
#[test]
fn a_proxy_that_cannot_be_read_is_refused_and_not_left_out() {
    // Longer than a request's target may be.
    let url = crate::config::ProxyUrl::new(format!("http://me:{}@127.0.0.1:1", "p".repeat(1 << 16)));
    let proxy = Some(crate::config::ProxySettings { url, no_proxy: vec!["*".to_owned()] });
    let (settings, shutdown) = (EgressSettings { proxy, ..EgressSettings::default() }, Shutdown::default());
    let opened = Egress::open(&settings, crate::secrets::Sources::new(None, &shutdown), &shutdown);
    assert!(opened.is_err_and(|why| why.contains("`egress.proxy`") && !why.contains("pp")));
}

#[test]
fn a_certificate_is_for_the_name_that_was_asked_for() {
    let Some(company) = Company::new("a_certificate_is_for_the_name_that_was_asked_for", "DNS:elsewhere.example")
    else {
        return;
    };
    let trusting = trusting(&[&company.file("ca.pem")]).expect("it is a file of certificates");
    let refused = asked(&trusting, company.serve());
    assert!(matches!(refused, Err(EgressError::Tls(_))), "{refused:?}");
}

#[test]
fn a_file_without_certificates_is_told_by_its_name() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (name, bytes, said) in [
        ("empty.pem", &b""[..], "no certificate in it"),
        ("text.pem", b"hello\n", "no certificate in it"),
        (
            "broken.pem",
            b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "not a file of PEM certificates",
        ),
        ("large.pem", &vec![b'\n'; (1 << 20) + 1], "more than 1048576 bytes"),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).expect("there is room for a file");
        let Err(why) = trusting(&[&file]) else { panic!("{name} is taken") };
        assert!(why.contains(name) && why.contains(said), "{why}");
    }
    assert!(trusting(&[&folder.path().join("none.pem")]).is_err());
}
