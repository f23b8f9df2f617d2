//! Tokens that a secret is exchanged for: access tokens of OAuth 2, and those of a GitHub App's installation. Each is had once and
//! used until shortly before it expires; who needs one while it is being had waits for it. What a server changes a refresh token
//! to is kept in the root before the new access token is used for anything, so that no crash loses it.
//!
//! The exchange goes through the same door, to the one URL that the operator has named for it, and what it brings is not shown to
//! anybody.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::Handle;
use url::Url;
use zeroize::{Zeroize, Zeroizing};

use super::client::{Got, Want};
use super::room::Room;
use super::{Caller, Egress, EgressError, Manner, Policy, Request, Target};
use crate::config::{Credential, Exchange, GitHubApp, NetworkRule, OAuth2, OAuth2Flow};
use crate::secrets::{Secret, base64_url};

/// What an exchange may take.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of its answer. A token has some hundred; installations list their repositories beside it.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A token is renewed so long before it expires: the slowest request, and clocks that differ.
const EARLY: time::Duration = time::Duration::minutes(5);
/// How long a token is used where the server does not say how long it lasts.
const LASTS_DEFAULT: time::Duration = time::Duration::minutes(30);
/// After an exchange that failed, nobody tries again for so long: a guest must not have the server asked with each request.
const AFTER_FAILURE: time::Duration = time::Duration::seconds(10);
/// A token that is younger is not renewed because somebody asks: it would be the same.
const YOUNG: time::Duration = time::Duration::seconds(30);
/// What GitHub takes for an app's own token: at most ten minutes, by a clock that may be a minute off.
const APP_TOKEN_SECS: i64 = 9 * 60;
const APP_CLOCK_SECS: i64 = 60;
/// Bytes of what a server says about its refusal that are told.
const TOLD_BYTES_MAX: usize = 300;

/// Where a token has got to.
#[derive(Default)]
struct Place {
    token: Option<Token>,
    /// One that the source refused: not to be used again, whoever remembers it.
    refused: Option<Secret>,
    failed: Option<(OffsetDateTime, String)>,
    /// What is to be kept and could not be written.
    unsaved: Arc<Mutex<Option<Zeroizing<String>>>>,
}

#[derive(Clone)]
struct Token {
    value: Secret,
    had_at: OffsetDateTime,
    renew_at: OffsetDateTime,
}

/// The tokens of one door.
#[derive(Default)]
pub(super) struct Minted {
    places: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Place>>>>,
}

/// What is kept of a refresh token.
#[derive(Serialize, Deserialize)]
struct State {
    /// Of the token that the operator gave: another one begins anew.
    seed: String,
    refresh_token: String,
    access_token: Option<String>,
    /// RFC 3339.
    renew_at: Option<String>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.refresh_token.zeroize();
        self.access_token.zeroize();
    }
}

impl Minted {
    fn place(&self, key: &str) -> Arc<tokio::sync::Mutex<Place>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(key.to_owned()).or_default())
    }
}

/// The name of what an exchange belongs to: not its integration, since two that were given the same refresh token share what it
/// becomes.
fn key_of(credential: &Credential, exchange: &Exchange) -> String {
    let what = match exchange {
        Exchange::OAuth2(oauth2) => {
            format!("{:?} {} {} {:?}", oauth2.flow, oauth2.token_url, oauth2.client_id, oauth2.scopes)
        }
        Exchange::GitHubApp(app) => format!("{} {} {}", app.api_url, app.app_id, app.installation_id),
    };
    mark(&format!("{:?} {what}", credential.source))
}

/// A text by its hash.
fn mark(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Egress {
    /// What goes into a request of this credential: its secret, or what that is exchanged for.
    pub(super) async fn value(
        &self,
        policy: &Policy,
        caller: &Caller,
        credential: &Credential,
    ) -> Result<Secret, String> {
        let Some(exchange) = &credential.exchange else { return self.sources().read(&credential.source).await };
        let place = self.minted().place(&key_of(credential, exchange));
        let mut place = place.lock().await;
        let now = self.clock().wall();
        if let Some(token) = place.token.as_ref().filter(|token| token.renew_at > now) {
            return Ok(token.value.clone());
        }
        if let Some((_, why)) = place.failed.as_ref().filter(|(at, _)| *at + AFTER_FAILURE > now) {
            return Err(why.clone());
        }
        let had = match exchange {
            Exchange::OAuth2(oauth2) if oauth2.flow == OAuth2Flow::RefreshToken => {
                self.refreshed(policy, caller, credential, oauth2, &place).await
            }
            Exchange::OAuth2(oauth2) => self.granted_to_client(policy, caller, credential, oauth2).await,
            Exchange::GitHubApp(app) => self.installation_token(policy, caller, credential, app).await,
        };
        match had {
            Ok(token) => {
                place.failed = None;
                place.token = Some(token.clone());
                Ok(token.value)
            }
            Err(why) => {
                let mut why = why;
                crate::secrets::strike(&mut why);
                place.failed = Some((now, why.clone()));
                Err(why)
            }
        }
    }

    /// Has the next request use another value than this one, which was refused. Says whether there may be another.
    pub(super) async fn refuse(&self, credential: &Credential, value: &Secret) -> bool {
        let Some(exchange) = &credential.exchange else {
            self.sources().forget(&credential.source);
            return true;
        };
        let place = self.minted().place(&key_of(credential, exchange));
        let mut place = place.lock().await;
        if place.token.as_ref().is_some_and(|token| token.value == *value) {
            place.token = None;
            place.refused = Some(value.clone());
        }
        true
    }

    /// Gets a new access token for a credential (`oauth.refresh` of the contract).
    ///
    /// # Errors
    /// The credential is none that is exchanged, or the exchange fails: why.
    pub(crate) async fn refresh(&self, policy: &Policy, caller: Caller, name: &str) -> Result<(), EgressError> {
        let Some(credential) = policy.credentials.get(name) else {
            return Err(EgressError::Denied(format!(
                "the credential `{name}` is not granted: the manifest must ask for it and the configuration name it under `grants.credentials`"
            )));
        };
        let Some(exchange) = &credential.exchange else {
            return Err(EgressError::Invalid(format!(
                "the credential `{name}` is not an OAuth 2 credential: its value is read anew for each request"
            )));
        };
        {
            let place = self.minted().place(&key_of(credential, exchange));
            let mut place = place.lock().await;
            let young = self.clock().wall() - YOUNG;
            if let Some(token) = place.token.take_if(|token| token.had_at <= young) {
                place.refused = Some(token.value);
            }
        }
        let had = self.value(policy, &caller, credential).await;
        had.map(drop).map_err(|why| EgressError::Other(format!("credential `{name}`: {why}")))
    }

    /// An access token for a refresh token, by whoever comes first of all processes of this root.
    async fn refreshed(
        &self,
        policy: &Policy,
        caller: &Caller,
        credential: &Credential,
        oauth2: &OAuth2,
        place: &Place,
    ) -> Result<Token, String> {
        let seed = self.sources().read(&credential.source).await?;
        let secret = match &oauth2.client_secret {
            Some(source) => Some(self.sources().read(source).await?),
            None => None,
        };
        let kept = self.sources().kept(&format!("oauth2/{}", key_of(credential, &Exchange::OAuth2(oauth2.clone()))));
        let (egress, policy, caller, oauth2) = (self.clone(), policy.clone(), caller.clone(), oauth2.clone());
        let (refused, unsaved, tokio) = (place.refused.clone(), Arc::clone(&place.unsaved), Handle::current());
        let lasts = kept.lasts();
        // Waiting for another process blocks; so does writing.
        let work = self.shutdown().spawn_blocking(move || {
            let latest = unsaved.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let remembered = Arc::clone(&unsaved);
            let had = kept.exchange(|was| {
                let was = latest.or(was).and_then(|text| serde_json::from_str::<State>(&text).ok());
                let was = was.filter(|state| state.seed == mark(seed.reveal()));
                let unwritten = remembered.lock().unwrap_or_else(PoisonError::into_inner).is_some();
                if let Some(token) = was.as_ref().and_then(|state| state.token(egress.clock().wall(), refused.as_ref())) {
                    // Another process had it meanwhile, or the last one before it ended.
                    return Ok((token, remembered.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|_| unwritten)));
                }
                let refresh = was.map_or_else(|| seed.clone(), |state| Secret::new(state.refresh_token.clone()));
                let (token, state) = tokio.block_on(egress.renew(&policy, caller, &oauth2, secret.as_ref(), &seed, &refresh))?;
                let text = serde_json::to_string(&state).map_err(|fault| fault.to_string())?;
                let text = Zeroizing::new(text);
                // Should it not get to the disk, the next try writes it before anything else.
                *remembered.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.clone());
                if !lasts && state.refresh_token != refresh.reveal() {
                    tracing::warn!("the server has changed a refresh token, and there is no root to keep it in: the next run has only the old one");
                }
                Ok((token, Some(text)))
            })?;
            *unsaved.lock().unwrap_or_else(PoisonError::into_inner) = None;
            Ok(had)
        });
        work.await.map_err(|_| "the exchange broke off; this is a fault of the agent".to_owned())?
    }

    /// One exchange of a refresh token: the access token, and what is to be kept.
    async fn renew(
        &self,
        policy: &Policy,
        caller: Caller,
        oauth2: &OAuth2,
        secret: Option<&Secret>,
        seed: &Secret,
        refresh: &Secret,
    ) -> Result<(Token, State), String> {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh.reveal())];
        form.push(("client_id", &oauth2.client_id));
        form.extend(secret.map(|secret| ("client_secret", secret.reveal())));
        let answer = self.token_endpoint(policy, caller, oauth2, form).await?;
        let token = self.token_of(&answer)?;
        let next = answer["refresh_token"].as_str().filter(|text| !text.is_empty()).unwrap_or(refresh.reveal());
        let next = Secret::new(next.to_owned());
        let state = State {
            seed: mark(seed.reveal()),
            refresh_token: next.reveal().to_owned(),
            access_token: Some(token.value.reveal().to_owned()),
            renew_at: token.renew_at.format(&Rfc3339).ok(),
        };
        Ok((token, state))
    }

    async fn granted_to_client(
        &self,
        policy: &Policy,
        caller: &Caller,
        credential: &Credential,
        oauth2: &OAuth2,
    ) -> Result<Token, String> {
        let secret = self.sources().read(&credential.source).await?;
        let form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", oauth2.client_id.as_str()),
            ("client_secret", secret.reveal()),
        ];
        self.token_of(&self.token_endpoint(policy, caller.clone(), oauth2, form).await?)
    }

    async fn token_endpoint(
        &self,
        policy: &Policy,
        caller: Caller,
        oauth2: &OAuth2,
        mut form: Vec<(&str, &str)>,
    ) -> Result<Value, String> {
        let scopes = oauth2.scopes.join(" ");
        if !scopes.is_empty() {
            form.push(("scope", &scopes));
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
        self.exchange(policy, caller, &oauth2.token_url, headers, Some(body.into_bytes())).await
    }

    /// The access token in an answer.
    fn token_of(&self, answer: &Value) -> Result<Token, String> {
        let text = answer["access_token"].as_str().filter(|text| !text.is_empty());
        let text = text.ok_or("the server's answer has no access token")?;
        let now = self.clock().wall();
        let seconds = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        let lasts = seconds(&answer["expires_in"])
            .map_or(LASTS_DEFAULT, |secs| time::Duration::seconds(secs.clamp(0, 86_400 * 365)));
        Ok(Token { value: Secret::new(text.to_owned()), had_at: now, renew_at: now + lasts - EARLY.min(lasts / 2) })
    }

    /// A token of a GitHub App's installation.
    async fn installation_token(
        &self,
        policy: &Policy,
        caller: &Caller,
        credential: &Credential,
        app: &GitHubApp,
    ) -> Result<Token, String> {
        let key = self.sources().read(&credential.source).await?;
        let proof = app_token(&key, &app.app_id, self.clock().wall())?;
        let url = format!("{}/app/installations/{}/access_tokens", app.api_url, app.installation_id);
        let headers = vec![
            ("authorization".to_owned(), format!("Bearer {}", proof.reveal())),
            ("x-github-api-version".to_owned(), "2022-11-28".to_owned()),
        ];
        let answer = self.exchange(policy, caller.clone(), &url, headers, None).await?;
        let text =
            answer["token"].as_str().filter(|text| !text.is_empty()).ok_or("the server's answer has no token")?;
        let now = self.clock().wall();
        let expires = answer["expires_at"].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let lasts = expires.map_or(LASTS_DEFAULT, |expires| (expires - now).max(time::Duration::ZERO));
        Ok(Token { value: Secret::new(text.to_owned()), had_at: now, renew_at: now + lasts - EARLY.min(lasts / 2) })
    }

    /// As `tried`. In a box, since a request whose credential is exchanged waits for this one.
    fn tried_apart<'a>(
        &'a self,
        policy: &'a Policy,
        request: &'a mut Request,
        want: Want<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Got, EgressError>> + Send + 'a>> {
        Box::pin(self.tried(policy, request, want))
    }

    /// Asks the one URL that the operator has named. The answer is ours, whole, and nobody else's.
    async fn exchange(
        &self,
        policy: &Policy,
        caller: Caller,
        url: &str,
        mut headers: Vec<(String, String)>,
        body: Option<Vec<u8>>,
    ) -> Result<Value, String> {
        let parsed = Target::parse(url).map_err(|_| "the URL of its exchange is none".to_owned())?;
        let own = Policy { private_hosts: policy.private_hosts.clone(), ..only(&parsed) };
        let host = super::policy::host_of(&parsed).into_owned();
        if parsed.scheme() != "https" && !own.is_private_host(&host) {
            return Err(format!(
                "it is not exchanged at {host} in clear text: use https, or list the host in `grants.private_hosts`"
            ));
        }
        headers.push(("accept".to_owned(), "application/json".to_owned()));
        let mut request = Request {
            method: "POST".to_owned(),
            headers,
            body: body.map(Into::into),
            timeout: EXCHANGE_TIME_MAX,
            body_bytes_max: ANSWER_BYTES_MAX,
            // Twice might be once too often: a refresh token that was used serves nobody a second time.
            manner: Manner { retries_max: 0, revalidate: false, ..Manner::default() },
            caller,
            ..Request::plain(parsed)
        };
        let mut held = Room::new(ANSWER_BYTES_MAX * 2).part();
        let got = self
            .tried_apart(&own, &mut request, Want::Raw(&mut held))
            .await
            .map_err(|fault| format!("it cannot be exchanged at {host}: {fault}"))?;
        let Got::Whole(answer) = got else { return Err("half an answer; this is a fault of the agent".to_owned()) };
        let body = Zeroizing::new(answer.body.to_vec());
        let document = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
        // Some servers refuse with a status of 200.
        let refused =
            document["error"].as_str().or_else(|| document["message"].as_str().filter(|_| answer.status >= 400));
        if !(200..300).contains(&answer.status) || document["error"].is_string() {
            let more = document["error_description"].as_str().map(|text| format!(": {text}")).unwrap_or_default();
            let told = format!("{}{more}", refused.unwrap_or("no reason given"));
            return Err(format!(
                "{host} refuses to exchange it ({}): {}",
                answer.status,
                crate::cut(&told, TOLD_BYTES_MAX)
            ));
        }
        Ok(document)
    }
}

impl State {
    /// The access token, if it still serves.
    fn token(&self, now: OffsetDateTime, refused: Option<&Secret>) -> Option<Token> {
        let renew_at = OffsetDateTime::parse(self.renew_at.as_deref()?, &Rfc3339).ok().filter(|at| *at > now)?;
        let value = Secret::new(self.access_token.clone()?);
        (Some(&value) != refused).then_some(Token { value, had_at: now, renew_at })
    }
}

/// A policy for posting to one URL.
fn only(url: &Url) -> Policy {
    let rule = NetworkRule {
        scheme: url.scheme().to_owned(),
        host: super::policy::host_of(url).into_owned(),
        port: url.port_or_known_default().unwrap_or(0),
        methods: vec!["POST".to_owned()],
        path: url.path().to_owned(),
    };
    Policy { asked: vec![rule.clone()], granted: vec![rule], ..Policy::default() }
}

/// The token by which an app proves who it is: a JWT (RFC 7519), signed with its private key by RS256.
fn app_token(key: &Secret, app_id: &str, now: OffsetDateTime) -> Result<Secret, String> {
    let bad =
        || "its value is not a private key in PEM (`-----BEGIN RSA PRIVATE KEY-----`), as GitHub gives it".to_owned();
    let pair = match PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).map_err(|_| bad())? {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(bad()),
    };
    let pair = pair.map_err(|why| format!("its private key cannot be used: {why}"))?;
    let now = now.unix_timestamp();
    let claims = json!({"iat": now - APP_CLOCK_SECS, "exp": now + APP_TOKEN_SECS, "iss": app_id});
    let head = json!({"alg": "RS256", "typ": "JWT"});
    let signed = format!("{}.{}", base64_url(head.to_string().as_bytes()), base64_url(claims.to_string().as_bytes()));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "signing with its private key fails".to_owned())?;
    Ok(Secret::new(format!("{signed}.{}", base64_url(&signature))))
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    /// A private key in both forms in which they come, made by the system's own program; none where there is none.
    fn key(form: &str) -> Option<String> {
        let made = std::process::Command::new("openssl").args(["genrsa", form, "2048"]).output().ok()?;
        made.status.success().then(|| String::from_utf8(made.stdout).expect("PEM is text"))
    }

    fn decoded(part: &str) -> Vec<u8> {
        let digit = |byte: u8| {
            let table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            table.iter().position(|known| *known == byte).expect("base64url") as u32
        };
        let bits = part.bytes().fold((Vec::new(), 0_u32, 0), |(mut out, held, count), byte| {
            let (held, count) = (held << 6 | digit(byte), count + 6);
            if count >= 8 {
                out.push((held >> (count - 8)) as u8);
                return (out, held & ((1 << (count - 8)) - 1), count - 8);
            }
            (out, held, count)
        });
        bits.0
    }

    #[test]
    fn an_apps_token_is_signed_and_lasts_minutes() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a time");
        for form in ["-traditional", "-verbose"] {
            let Some(pem) = key(form) else { return eprintln!("skipped openssl: it makes the keys of this test") };
            let key = Secret::new(pem.clone());
            let token = app_token(&key, "Iv1.abc", now).unwrap_or_else(|why| panic!("{why}"));
            let parts: Vec<&str> = token.reveal().split('.').collect();
            let [head, claims, signature] = parts[..] else { panic!("three parts") };
            assert_eq!(decoded(head), br#"{"alg":"RS256","typ":"JWT"}"#);
            let claims_read: Value = serde_json::from_slice(&decoded(claims)).expect("JSON");
            assert_eq!(claims_read, json!({"iat": 1_799_999_940, "exp": 1_800_000_540, "iss": "Iv1.abc"}));
            let public = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("a key") {
                PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
                _ => panic!("an RSA key"),
            };
            let public = public.expect("a key").public().as_ref().to_vec();
            let verified = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
                .verify(format!("{head}.{claims}").as_bytes(), &decoded(signature));
            assert!(verified.is_ok());
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let Err(why) = app_token(&Secret::new("not-a-private-key".to_owned()), "1", now) else { panic!("no key") };
        assert!(why.contains("PEM") && !why.contains("not-a-private"), "{why}");
    }
}
