//! Whether a webhook comes from who it says: its signature, held against the secret in the configuration, before a byte of it
//! reaches the integration. The manifest says how its source signs; the three ways here are all that are known.

use base64::prelude::{BASE64_STANDARD, Engine};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::{Secret, Sources};
use crate::config::SecretSource;

/// Minutes that a signed time may lie beside ours, as Standard Webhooks recommends: a recorded webhook is worth nothing after.
const SECONDS_APART_MAX: i64 = 5 * 60;
/// Said of a secret that is none.
const EMPTY: &str = "the webhook cannot be checked: its secret is empty, which anybody knows";
/// How the secrets of Standard Webhooks begin; the key follows in base64.
const STANDARD_KEY: &str = "whsec_";

/// What a manifest says of the signatures of its webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedSignature {
    /// A JSON Pointer to the setting that holds the secret, which the configuration's schema marks `writeOnly`.
    pub setting: String,
    #[serde(flatten)]
    pub form: Form,
}

/// How a source signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A header field holds the HMAC-SHA256 of the body, in hexadecimal (GitHub, Jira, Bitbucket).
    HmacSha256 {
        header: String,
        #[serde(default)]
        prefix: String,
    },
    /// A header field holds the secret itself (GitLab).
    Token { header: String },
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`, as standardwebhooks.com has them.
    StandardWebhooks {},
}

/// A signature that is to be checked, and where the secret comes from; no source where the configuration has none.
#[derive(Debug, Clone)]
pub struct Check {
    pub asked: AskedSignature,
    pub source: Option<SecretSource>,
}

impl Check {
    /// Holds a webhook against the secret. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why it is not believed: what is missing or wrong, and what to do. Neither a secret nor a signature is in it.
    pub async fn judge(
        &self,
        sources: &Sources,
        headers: &[(String, String)],
        body: &[u8],
        now: i64,
    ) -> Result<(), String> {
        let Some(source) = &self.source else {
            return Err(format!(
                "the webhook cannot be checked: `config{}` holds no secret; set the one that its source signs with",
                self.asked.setting.replace('/', ".")
            ));
        };
        let secret = sources.read(source).await.map_err(|fault| format!("the webhook cannot be checked: {fault}"))?;
        self.asked.form.judge(&secret, headers, body, now)
    }
}

impl Form {
    fn judge(&self, secret: &Secret, headers: &[(String, String)], body: &[u8], now: i64) -> Result<(), String> {
        let secret = secret.reveal();
        if secret.trim().is_empty() {
            return Err(EMPTY.to_owned());
        }
        match self {
            Form::HmacSha256 { header, prefix } => {
                let given = field(headers, header)?;
                let mac = given.strip_prefix(prefix.as_str()).and_then(unhex);
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                match mac {
                    Some(mac) if hmac::verify(&key, body, &mac).is_ok() => Ok(()),
                    _ => Err(wrong(header)),
                }
            }
            Form::Token { header } => {
                let given = field(headers, header)?;
                // Of both a hash under a key that nobody knows: comparing them tells nothing of how far they are alike.
                let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())
                    .map_err(|_| "the webhook cannot be checked: the machine gives no random numbers".to_owned())?;
                let expected = hmac::sign(&key, secret.as_bytes());
                hmac::verify(&key, given.as_bytes(), expected.as_ref()).map_err(|_| wrong(header))
            }
            Form::StandardWebhooks {} => standard(secret, headers, body, now),
        }
    }
}

/// As Standard Webhooks 1.0 says: `v1` and HMAC-SHA256 in base64, over id, time and body; several may be given.
fn standard(secret: &str, headers: &[(String, String)], body: &[u8], now: i64) -> Result<(), String> {
    let (id, time) = (field(headers, "webhook-id")?, field(headers, "webhook-timestamp")?);
    let given = field(headers, "webhook-signature")?;
    let seconds: i64 =
        time.parse().map_err(|_| "the webhook's `webhook-timestamp` is no number of seconds".to_owned())?;
    if seconds.abs_diff(now) > SECONDS_APART_MAX.unsigned_abs() {
        return Err(format!(
            "the webhook was signed {} seconds from now, and {SECONDS_APART_MAX} are allowed: it is an old one sent again, or a clock is wrong",
            seconds.abs_diff(now)
        ));
    }
    let key = match secret.strip_prefix(STANDARD_KEY) {
        Some(text) => BASE64_STANDARD
            .decode(text)
            .map_err(|_| format!("the webhook cannot be checked: behind `{STANDARD_KEY}` its secret is no base64"))?,
        None => secret.as_bytes().to_vec(),
    };
    if key.is_empty() {
        return Err(EMPTY.to_owned());
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let message = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    let signatures = given.split(' ').filter_map(|one| BASE64_STANDARD.decode(one.strip_prefix("v1,")?).ok());
    match { signatures }.any(|mac| hmac::verify(&key, &message, &mac).is_ok()) {
        true => Ok(()),
        false => Err(wrong("webhook-signature")),
    }
}

/// The one value of a header field. Two would be two answers to who sent it.
fn field<'a>(headers: &'a [(String, String)], name: &str) -> Result<&'a str, String> {
    let mut values = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(format!("the webhook has no header `{name}`, by which its source signs: it is not believed")),
        (Some(_), Some(_)) => Err(format!("the webhook has the header `{name}` twice: it is not believed")),
    }
}

fn wrong(header: &str) -> String {
    format!(
        "the webhook's `{header}` is not that of its body with our secret: it is not from its source, was changed on the way, \
         or the secrets differ"
    )
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes();
    bytes
        .len()
        .is_multiple_of(2)
        .then(|| bytes.chunks_exact(2).map(|pair| Some(digit(pair[0])? * 16 + digit(pair[1])?)).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(form: &Form, secret: &str, headers: &[(&str, &str)], body: &[u8], now: i64) -> Result<(), String> {
        let headers: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        form.judge(&Secret::new(secret.to_owned()), &headers, body, now)
    }

    /// The example of GitHub's documentation.
    #[test]
    fn an_hmac_is_of_the_body_and_the_secret() {
        let form = Form::HmacSha256 { header: "x-hub-signature-256".to_owned(), prefix: "sha256=".to_owned() };
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let (secret, body) = ("It's a Secret to Everybody", b"Hello, World!");
        assert_eq!(judge(&form, secret, &[("X-Hub-Signature-256", good)], body, 0), Ok(()));
        let capitals = good.to_uppercase().replace("SHA256", "sha256");
        for (secret, signature, body) in [
            (secret, good, &b"Hello, World?"[..]),
            ("another-secret-of-webhooks", good, body),
            (secret, "", body),
            (secret, "sha256=", body),
            (secret, &good[7..], body),
            (secret, &good[..70], body),
            (secret, &good.replace("sha256=", "sha1="), body),
            (secret, &capitals, body),
            (secret, &format!("{good}00"), body),
        ] {
            let told = judge(&form, secret, &[("x-hub-signature-256", signature)], body, 0).expect_err(signature);
            assert!(told.contains("is not that of its body") && !told.contains("757107"), "{told}");
        }
        assert!(judge(&form, secret, &[], body, 0).unwrap_err().contains("no header `x-hub-signature-256`"));
        let twice = [("x-hub-signature-256", good), ("X-Hub-Signature-256", good)];
        assert!(judge(&form, secret, &twice, body, 0).unwrap_err().contains("twice"));
        assert!(judge(&form, "", &[("x-hub-signature-256", good)], body, 0).unwrap_err().contains("empty"));
    }

    #[test]
    fn a_token_is_the_secret() {
        let form = Form::Token { header: "x-gitlab-token".to_owned() };
        assert_eq!(judge(&form, "token-of-webhooks", &[("X-Gitlab-Token", "token-of-webhooks")], b"", 0), Ok(()));
        for wrong in ["", "token-of-webhook", "token-of-webhooks ", "TOKEN-OF-WEBHOOKS"] {
            let told = judge(&form, "token-of-webhooks", &[("x-gitlab-token", wrong)], b"", 0).expect_err(wrong);
            assert!(!told.contains("token-of"), "{told}");
        }
    }

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn standard_webhooks_sign_id_time_and_body() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let (id, time) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let body = br#"{"test": 2432232314}"#;
        let at = 1_614_265_330;
        let with = |id: &str, time: &str, signature: &str, now: i64| {
            let headers = [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)];
            judge(&Form::StandardWebhooks {}, secret, &headers, body, now)
        };
        assert_eq!(with(id, time, good, at), Ok(()));
        assert_eq!(with(id, time, &format!("v1a,AAAA v1,AAAA {good}"), at + 299), Ok(()));
        for (id, time, signature, now) in [
            ("msg_other", time, good, at),
            (id, "1614265331", good, at),
            (id, time, "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", at),
            (id, time, "", at),
            (id, time, good, at + 301),
            (id, time, good, at - 301),
            (id, "yesterday", good, at),
            (id, "-9223372036854775808", good, at),
        ] {
            assert!(with(id, time, signature, now).is_err(), "{id} {time} {signature} {now}");
        }
        let none = judge(
            &Form::StandardWebhooks {},
            "whsec_",
            &[("webhook-id", "1"), ("webhook-timestamp", "0"), ("webhook-signature", "v1,")],
            b"",
            0,
        );
        assert!(none.unwrap_err().contains("empty"));
    }
}
