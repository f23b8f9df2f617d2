//! What went out and what was refused, for the author of an integration who runs it alone: each exchange, and for each
//! refusal all that it lacks at once. Kept only where somebody asks for it; it decides nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use url::{Host, Url};

use super::credentials::{PathLacking, path_lacking};
use super::policy::{covers, covers_place, host_matches, host_of, path_is_below, path_of, repository_rule, rule_of};
use super::{EgressError, Policy, Request, Response, address};
use crate::config::{Credential, NetworkRule};

/// Exchanges kept; those that come after are only summed up. A report is for reading.
const EXCHANGES_MAX: usize = 1_000;

/// Different refusals kept. An integration that is refused in more ways than this has one thing to mend first.
const DENIALS_MAX: usize = 200;

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exchange {
    pub method: String,
    /// Without fragment, and with the values of its query left out: tokens stand there.
    pub url: String,
    /// The status of the answer; none if there is no answer.
    pub status: Option<u16>,
    /// Why there is no answer.
    pub error: Option<String>,
    /// From the request to the whole answer, milliseconds; for a repository's pack to the head of the answer.
    pub ms: u64,
    /// Of the request's body.
    pub bytes_sent: u64,
    /// Of the answer's body, decompressed; none for a repository's pack, which is read as it comes.
    pub bytes_received: Option<u64>,
}

/// What a refused request lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "lacks", content = "what", rename_all = "snake_case")]
pub enum Lack {
    /// The manifest does not ask for it: this rule in its `network`.
    Asked(String),
    /// The operator does not grant it: this rule in `grants.network`.
    Granted(String),
    /// Its address is private: this host in `grants.private_hosts`.
    PrivateHost(String),
    /// The manifest does not ask for the credential of this name, or nobody grants it.
    Credential { name: String, host: String },
    /// The credential may not go to this host, by `grants.credentials.<name>.hosts`.
    CredentialHost { name: String, host: String },
    /// The credential may not go to this path, by `grants.credentials.<name>.paths`.
    CredentialPath { name: String, host: String, path: String },
    /// The manifest does not ask to put the credential into bodies at this path.
    AskedPath { name: String, path: String },
    /// Nothing would help: nobody may reach it, or not in this way.
    Nothing(String),
}

/// A kind of request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    pub method: String,
    /// As in [`Exchange::url`].
    pub url: String,
    /// All of it at once, so that one mend is enough.
    pub lacks: Vec<Lack>,
    /// What the integration was told.
    pub told: String,
    /// Requests that were refused for the same lack.
    pub count: u64,
}

/// What a ledger holds.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// In the order in which they ended.
    pub exchanges: Vec<Exchange>,
    /// Exchanges beyond those kept.
    pub exchanges_left_out: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub denials: Vec<Denial>,
    /// Refusals beyond the kinds that are kept.
    pub denials_left_out: u64,
    /// Asked-for rules that covered a request, whether it was granted or not.
    pub(crate) rules_used: Vec<NetworkRule>,
    /// Credentials that a request named.
    pub credentials_used: BTreeSet<String>,
}

/// The ledger of one [`super::Egress`].
#[derive(Debug, Default)]
pub struct Ledger {
    account: Mutex<Account>,
}

impl Ledger {
    /// What has been written so far.
    #[must_use]
    pub fn account(&self) -> Account {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>, policy: &Policy, request: &Request) -> Entry {
        let url = &request.url;
        let mut account = self.lock();
        account.uses(policy.asked.iter().filter(|rule| covers(rule, &request.method, url)));
        let credentials = || request.credential.iter().chain(&request.fill);
        account.credentials_used.extend(credentials().cloned());
        let lacks = lacks(policy, &request.method, url, credentials());
        Entry {
            ledger: Arc::clone(self),
            host: host_of(url).into_owned(),
            exchange: Exchange {
                method: request.method.clone(),
                url: shown(url),
                status: None,
                error: Some("cancelled before the answer was there".to_owned()),
                ms: 0,
                bytes_sent: request.body.as_ref().map_or(0, |body| body.len() as u64),
                bytes_received: None,
            },
            lacks,
            denied: None,
            began: Instant::now(),
        }
    }

    /// A repository is refused before any request is made.
    pub(super) fn repository_refused(&self, policy: &Policy, url: &Url, told: &str) {
        let rule = repository_rule(url).to_string();
        let within = |rules: &[NetworkRule]| rules.iter().any(|rule| covers_place(rule, url));
        let mut lacks = Vec::new();
        if !within(&policy.asked) {
            lacks.push(Lack::Asked(rule.clone()));
        }
        if !within(&policy.granted) {
            lacks.push(Lack::Granted(rule));
        }
        lacks.extend(private(policy, url));
        let (method, url_shown, told) = ("GET,POST".to_owned(), shown(url), told.to_owned());
        let mut account = self.lock();
        account.uses(policy.asked.iter().filter(|rule| covers_place(rule, url)));
        account.refuse(Denial { method, url: url_shown, lacks, told, count: 1 });
    }
}

impl Account {
    /// Whether a rule of the manifest, filled in, was of use. A repository uses a narrower rule than the manifest's.
    #[must_use]
    pub fn used(&self, rule: &NetworkRule) -> bool {
        self.rules_used.iter().any(|used| {
            used == rule
                || (used.scheme == rule.scheme
                    && used.port == rule.port
                    && host_matches(&rule.host, &used.host)
                    && path_is_below(&rule.path, &used.path))
        })
    }

    fn uses<'a>(&mut self, rules: impl Iterator<Item = &'a NetworkRule>) {
        for rule in rules {
            if !self.rules_used.contains(rule) {
                self.rules_used.push(rule.clone());
            }
        }
    }

    fn refuse(&mut self, denial: Denial) {
        let same = |known: &&mut Denial| known.lacks == denial.lacks && known.method == denial.method;
        if let Some(known) = self.denials.iter_mut().find(same) {
            known.count += 1;
        } else if self.denials.len() < DENIALS_MAX {
            self.denials.push(denial);
        } else {
            self.denials_left_out += 1;
        }
    }
}

/// A request under way. One that is dropped without an end was cancelled, and is written down as such.
pub(super) struct Entry {
    ledger: Arc<Ledger>,
    host: String,
    exchange: Exchange,
    /// What the policy says that it lacks; an address is known only by trying.
    lacks: Vec<Lack>,
    /// What it was told, if it was refused.
    denied: Option<String>,
    began: Instant,
}

impl Entry {
    /// The whole answer is there, or none will come.
    pub(super) fn end(mut self, answer: &Result<&Response, EgressError>) {
        match answer {
            Ok(response) => self.answered(response.status, Some(response.body.len() as u64)),
            Err(fault) => self.failed(fault),
        }
    }

    /// The head of a long answer is there, or none will come.
    pub(super) fn end_with_head(mut self, status: Result<u16, &EgressError>) {
        match status {
            Ok(status) => self.answered(status, None),
            Err(fault) => self.failed(fault),
        }
    }

    fn answered(&mut self, status: u16, bytes: Option<u64>) {
        self.exchange.status = Some(status);
        self.exchange.error = None;
        self.exchange.bytes_received = bytes;
    }

    fn failed(&mut self, fault: &EgressError) {
        self.exchange.error = Some(fault.to_string());
        let EgressError::Denied(told) = fault else { return };
        if self.lacks.is_empty() {
            // All the rules agree, so it is the address.
            self.lacks.push(match self.host.parse::<IpAddr>().map(address::reach) {
                Ok(address::Reach::Never) => Lack::Nothing(told.clone()),
                _ => Lack::PrivateHost(self.host.clone()),
            });
        }
        self.denied = Some(told.clone());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut exchange = self.exchange.clone();
        exchange.ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut account = self.ledger.lock();
        if let Some(told) = self.denied.take() {
            // It never went out.
            let (method, url) = (exchange.method, exchange.url);
            account.refuse(Denial { method, url, lacks: std::mem::take(&mut self.lacks), told, count: 1 });
            return;
        }
        account.bytes_sent += exchange.bytes_sent;
        account.bytes_received += exchange.bytes_received.unwrap_or(0);
        if account.exchanges.len() < EXCHANGES_MAX {
            account.exchanges.push(exchange);
        } else {
            account.exchanges_left_out += 1;
        }
    }
}

/// All that the policy says a request lacks.
fn lacks<'a>(policy: &Policy, method: &str, url: &Url, credentials: impl Iterator<Item = &'a String>) -> Vec<Lack> {
    let within = |rules: &[NetworkRule]| rules.iter().any(|rule| covers(rule, method, url));
    let rule = rule_of(method, url).to_string();
    let mut lacks = Vec::new();
    if !within(&policy.asked) {
        lacks.push(Lack::Asked(rule.clone()));
    }
    if !within(&policy.granted) {
        lacks.push(Lack::Granted(rule));
    }
    let private = private(policy, url);
    let is_private = private.is_some() || policy.is_private_host(&host_of(url));
    lacks.extend(private);
    for name in credentials {
        let (name, host) = (name.to_owned(), host_of(url).into_owned());
        match policy.credentials.get(&name) {
            None => lacks.push(Lack::Credential { name, host }),
            Some(known) if !known.hosts.iter().any(|pattern| host_matches(pattern, &host)) => {
                lacks.push(Lack::CredentialHost { name: name.clone(), host: host.clone() });
                lacks.extend(path_lack(known, name, host, url));
            }
            Some(_) if url.scheme() != "https" && !is_private => {
                lacks.push(Lack::Nothing(format!("the credential `{name}` is sent over https only")));
            }
            Some(known) => lacks.extend(path_lack(known, name, host, url)),
        }
    }
    lacks
}

fn path_lack(credential: &Credential, name: String, host: String, url: &Url) -> Option<Lack> {
    let path = path_of(url);
    path_lacking(credential, url).map(|who| match who {
        PathLacking::Asked => Lack::AskedPath { name, path },
        PathLacking::Granted | PathLacking::Any => Lack::CredentialPath { name, host, path },
    })
}

/// The host, where it can be seen without asking anybody that its address is private and not listed.
fn private(policy: &Policy, url: &Url) -> Option<Lack> {
    let host = host_of(url);
    let private = match url.host()? {
        Host::Ipv4(address) => matches!(address::reach(address.into()), address::Reach::Private),
        Host::Ipv6(address) => matches!(address::reach(address.into()), address::Reach::Private),
        Host::Domain(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    (private && !policy.is_private_host(&host)).then(|| Lack::PrivateHost(host.into_owned()))
}

/// A URL for a report: the names of its query stay, their values do not.
fn shown(url: &Url) -> String {
    let mut bare = url.clone();
    bare.set_fragment(None);
    bare.set_query(None);
    let names: Vec<String> = url.query_pairs().map(|(name, _)| format!("{}=…", name.escape_debug())).collect();
    if names.is_empty() { bare.to_string() } else { format!("{bare}?{}", names.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str, credential: Option<&str>) -> Request {
        Request {
            method: "GET".to_owned(),
            url: super::super::Target::parse(url).unwrap(),
            headers: Vec::new(),
            body: Some(vec![0; 3].into()),
            credential: credential.map(str::to_owned),
            fill: None,
            timeout: std::time::Duration::from_secs(1),
            body_bytes_max: 1,
            manner: Default::default(),
            caller: Default::default(),
        }
    }

    #[test]
    fn all_that_a_request_lacks_is_told_at_once() {
        let ledger = Arc::new(Ledger::default());
        let denied = Err(EgressError::Denied("no".to_owned()));
        for _ in 0..2 {
            ledger.begin(&Policy::default(), &request("http://127.0.0.1:8080/a/b?token=x", Some("t"))).end(&denied);
        }
        let account = ledger.account();
        assert!(account.exchanges.is_empty(), "what was refused did not go out");
        let [denial] = &account.denials[..] else { panic!("{account:?}") };
        assert_eq!((denial.count, denial.url.as_str()), (2, "http://127.0.0.1:8080/a/b?token=…"));
        let rule = "http://127.0.0.1:8080/a GET".to_owned();
        assert_eq!(
            denial.lacks,
            [
                Lack::Asked(rule.clone()),
                Lack::Granted(rule),
                Lack::PrivateHost("127.0.0.1".to_owned()),
                Lack::Credential { name: "t".to_owned(), host: "127.0.0.1".to_owned() },
            ]
        );
        assert!(account.credentials_used.contains("t"));
    }

    #[test]
    fn a_name_that_turns_out_to_be_private_is_named() {
        let rule = NetworkRule::parse("https://build.example.com").expect("a rule");
        let policy = Policy { asked: vec![rule.clone()], granted: vec![rule], ..Policy::default() };
        let ledger = Arc::new(Ledger::default());
        let denied = Err(EgressError::Denied("its address is private".to_owned()));
        ledger.begin(&policy, &request("https://build.example.com/", None)).end(&denied);
        let account = ledger.account();
        assert_eq!(account.denials[0].lacks, [Lack::PrivateHost("build.example.com".to_owned())]);
        assert!(account.used(&policy.asked[0]));
    }

    #[test]
    fn what_was_cancelled_is_written_down_and_what_is_too_much_is_summed_up() {
        let ledger = Arc::new(Ledger::default());
        drop(ledger.begin(&Policy::default(), &request("https://a.example/", None)));
        assert!(ledger.account().exchanges[0].error.as_deref().is_some_and(|why| why.contains("cancelled")));
        let answer = Response { status: 200, url: String::new(), headers: vec![], body: vec![0; 5].into() };
        for _ in 0..EXCHANGES_MAX {
            ledger.begin(&Policy::default(), &request("https://a.example/", None)).end(&Ok(&answer));
        }
        let account = ledger.account();
        assert_eq!((account.exchanges.len(), account.exchanges_left_out), (EXCHANGES_MAX, 1));
        assert_eq!(account.bytes_sent, 3 * (EXCHANGES_MAX as u64 + 1));
        assert_eq!(account.bytes_received, 5 * EXCHANGES_MAX as u64);
    }
}
