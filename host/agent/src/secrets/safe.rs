//! The safe: secrets of the operator's by name, and what the agent itself must not lose (tokens that a server has changed),
//! in one sealed file of the root. The format stands in `mod.rs`; the key is `key`'s.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::{Zeroize, Zeroizing};

use super::key::{self, Key};
use super::{SECRET_BYTES_MAX, Secret};
use crate::files;

/// What the file begins with; authenticated with the rest.
const MAGIC: &[u8] = b"agent-secrets-1\n";
/// Bytes of the whole file: as many of the largest secrets as there may be.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Secrets that an operator may keep.
const SECRETS_MAX: usize = 1_000;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;
/// How long another process may take to change the safe: it writes one small file, or waits for one server's answer.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(60);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Why the safe cannot be used. No text of these holds what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SafeError {
    #[error("{0}")]
    Key(String),
    #[error("the secrets in {} are sealed, and their key is gone: put it back (agent secrets --help says where it may lie); without it they cannot be read, and removing that file begins anew", .0.display())]
    NoKey(PathBuf),
    #[error("the secrets in {} cannot be opened with the key from {key}: it is another key, or the file is damaged; put the right key there, or restore both from a backup", path.display())]
    Sealed { path: PathBuf, key: String },
    #[error("{} is no file of secrets of this version; restore it from a backup, or use the agent that wrote it", .0.display())]
    Form(PathBuf),
    #[error("{}: {source}; {}", path.display(), files::mend_of(source))]
    Io { path: PathBuf, source: std::io::Error },
    #[error("another process keeps the secrets in {} locked; wait until it ends, and try again", .0.display())]
    Busy(PathBuf),
    #[error("{0}")]
    Refused(String),
}

/// What the safe holds.
#[derive(Default, Serialize, Deserialize)]
struct Contents {
    /// The operator's, by name.
    secrets: BTreeMap<String, Entry>,
    /// The agent's own, by what they belong to.
    #[serde(default)]
    kept: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    value: String,
    /// RFC 3339.
    set_at: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

/// What may be shown of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub name: String,
    /// RFC 3339.
    pub set_at: String,
}

/// The safe of one root. Making this opens nothing.
#[derive(Debug, Clone)]
pub struct Safe {
    folder: PathBuf,
}

/// The safe while nobody else may change it.
pub(super) struct Locked<'a> {
    safe: &'a Safe,
    _lock: File,
}

impl Safe {
    /// The safe of this root.
    #[must_use]
    pub fn of_root(root: &Path) -> Safe {
        Safe { folder: root.join("secrets") }
    }

    /// Whether anything was ever kept in it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.file().exists()
    }

    fn file(&self) -> PathBuf {
        self.folder.join("safe")
    }

    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SafeError {
        let path = path.to_owned();
        move |source| SafeError::Io { path, source }
    }

    /// The names, in order.
    ///
    /// # Errors
    /// The safe cannot be opened.
    pub fn list(&self) -> Result<Vec<Listed>, SafeError> {
        let contents = self.open()?;
        let listed = |(name, entry): (&String, &Entry)| Listed { name: name.clone(), set_at: entry.set_at.clone() };
        Ok(contents.secrets.iter().map(listed).collect())
    }

    /// Keeps a secret under a name, in the place of what was there. Says whether something was.
    ///
    /// # Errors
    /// Name or value are none, or the safe cannot be changed.
    pub fn set(&self, name: &str, value: &Secret) -> Result<bool, SafeError> {
        check_name(name)?;
        let bytes = value.reveal().len();
        if bytes == 0 || bytes > SECRET_BYTES_MAX {
            return Err(SafeError::Refused(format!(
                "the value has {bytes} bytes; a secret has 1 to {SECRET_BYTES_MAX}"
            )));
        }
        self.lock()?.change(|contents| {
            if contents.secrets.len() >= SECRETS_MAX && !contents.secrets.contains_key(name) {
                return Err(SafeError::Refused(format!("there are {SECRETS_MAX} secrets already; remove some")));
            }
            Ok(contents.secrets.insert(name.to_owned(), Entry::now(value)).is_some())
        })
    }

    /// Forgets a secret. Says whether it was there.
    ///
    /// # Errors
    /// The safe cannot be changed.
    pub fn remove(&self, name: &str) -> Result<bool, SafeError> {
        if !self.is_there() {
            return Ok(false);
        }
        self.lock()?.change(|contents| Ok(contents.secrets.remove(name).is_some()))
    }

    /// The secret of this name.
    pub(super) fn get(&self, name: &str) -> Result<Option<Secret>, SafeError> {
        Ok(self.open()?.secrets.get(name).map(|entry| Secret::new(entry.value.clone())))
    }

    /// Waits until nobody else may change the safe. Blocks.
    pub(super) fn lock(&self) -> Result<Locked<'_>, SafeError> {
        files::make_folder(&self.folder).map_err(Safe::io(&self.folder))?;
        let path = self.folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(Safe::io(&path))?;
        let deadline = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Locked { safe: self, _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => return Err(SafeError::Busy(self.folder.clone())),
                Err(TryLockError::Error(source)) => return Err(SafeError::Io { path, source }),
            }
        }
    }

    fn open(&self) -> Result<Contents, SafeError> {
        let path = self.file();
        let bytes = match files::read(&path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contents::default()),
            Err(error) if error.kind() == ErrorKind::FileTooLarge => return Err(SafeError::Form(path)),
            Err(source) => return Err(SafeError::Io { path, source }),
        };
        let key = key::find(&self.folder).map_err(SafeError::Key)?.ok_or_else(|| SafeError::NoKey(path.clone()))?;
        let (nonce, sealed) = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.split_first_chunk::<NONCE_LEN>())
            .ok_or_else(|| SafeError::Form(path.clone()))?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let opened = cipher(&key).open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(MAGIC), &mut plain);
        let Ok(opened) = opened else { return Err(SafeError::Sealed { path, key: key.place }) };
        serde_json::from_slice(opened).map_err(|_| SafeError::Form(path))
    }

    /// Seals what is to be kept and puts it in the file's place, synced.
    fn write(&self, contents: &Contents, key: &Key) -> Result<(), SafeError> {
        let failed = |error: serde_json::Error| SafeError::Refused(format!("the secrets cannot be written: {error}"));
        let mut sealed = serde_json::to_vec(contents).map_err(failed)?;
        let random = || SafeError::Refused("the system gives no random numbers".to_owned());
        let mut nonce = [0; NONCE_LEN];
        // Random, and not counted: a safe that is restored from a backup would count the same numbers again. It is sealed anew
        // some thousand times at most, and 2^32 times would be safe.
        SystemRandom::new().fill(&mut nonce).map_err(|_| random())?;
        // What was plain is sealed in its own place.
        cipher(key)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(MAGIC), &mut sealed)
            .map_err(|_| random())?;
        if (MAGIC.len() + NONCE_LEN + sealed.len()) as u64 > FILE_BYTES_MAX {
            return Err(SafeError::Refused(format!(
                "the secrets have more than {FILE_BYTES_MAX} bytes together; remove some"
            )));
        }
        let (new, path) = (self.folder.join("safe.new"), self.file());
        files::replace(&path, &new, &[MAGIC, &nonce, &sealed]).map_err(Safe::io(&path))
    }
}

impl Locked<'_> {
    /// Reads, changes and writes. What the change refuses is not written.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T, SafeError>) -> Result<T, SafeError> {
        let mut contents = self.safe.open()?;
        let changed = change(&mut contents)?;
        let key = match key::find(&self.safe.folder).map_err(SafeError::Key)? {
            Some(key) => key,
            None => key::make(&self.safe.folder).map_err(SafeError::Key)?,
        };
        self.safe.write(&contents, &key)?;
        Ok(changed)
    }

    /// What the agent keeps under this name.
    pub(super) fn kept(&self, name: &str) -> Result<Option<Zeroizing<String>>, SafeError> {
        Ok(self.safe.open()?.kept.get(name).map(|entry| Zeroizing::new(entry.value.clone())))
    }

    /// Keeps a text of the agent's own.
    pub(super) fn keep(&self, name: &str, text: &str) -> Result<(), SafeError> {
        self.change(|contents| {
            contents.kept.insert(name.to_owned(), Entry { value: text.to_owned(), set_at: now() });
            Ok(())
        })
    }
}

impl Entry {
    fn now(value: &Secret) -> Entry {
        Entry { value: value.reveal().to_owned(), set_at: now() }
    }
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    // Whole seconds say enough, and every such time can be written.
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

fn cipher(key: &Key) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.bytes.as_ref());
    LessSafeKey::new(key.expect("the key has the length that this cipher takes"))
}

fn check_name(name: &str) -> Result<(), SafeError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(good) {
        // What is no name may be the secret itself: it is not repeated.
        let why = format!(
            "it is not a name for a secret: use 1 to {NAME_BYTES_MAX} of a-z A-Z 0-9 - _ . (the value comes from standard input)"
        );
        return Err(SafeError::Refused(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn value(safe: &Safe, name: &str) -> Option<String> {
        safe.get(name).expect("it opens").map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn what_is_put_in_comes_out_and_cannot_be_read_from_the_file() {
        let root = tempfile::tempdir().expect("a folder");
        let safe = Safe::of_root(root.path());
        assert_eq!(safe.list().expect("an empty one"), []);
        assert!(!safe.set("github", &secret("safe-canary-1")).expect("it is kept"));
        assert!(safe.set("github", &secret("safe-canary-2")).expect("it is replaced"));
        safe.set("other", &secret("line one\nline two")).expect("it is kept");
        assert_eq!(value(&safe, "github").as_deref(), Some("safe-canary-2"));
        assert_eq!(value(&safe, "other").as_deref(), Some("line one\nline two"));
        assert_eq!(value(&safe, "none"), None);
        let names: Vec<String> = safe.list().expect("it opens").into_iter().map(|listed| listed.name).collect();
        assert_eq!(names, ["github", "other"]);
        let bytes = std::fs::read(safe.file()).expect("it is there");
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds("canary") && !holds("github"));
        for name in ["safe", "key", "lock"] {
            let mode = std::fs::metadata(safe.folder.join(name)).expect("it is there").mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert!(safe.remove("github").expect("it changes") && !safe.remove("github").expect("it changes"));
        assert_eq!(value(&safe, "github"), None);
    }

    #[test]
    fn another_key_a_changed_byte_and_no_key_open_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let safe = Safe::of_root(root.path());
        safe.set("a", &secret("sealed-value")).expect("it is kept");
        let (key, whole) = (safe.folder.join("key"), std::fs::read(safe.file()).expect("it is there"));
        for at in [0, MAGIC.len(), MAGIC.len() + NONCE_LEN, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(safe.file(), &changed).expect("it can be written");
            assert!(matches!(safe.get("a"), Err(SafeError::Sealed { .. } | SafeError::Form(_))), "byte {at}");
        }
        std::fs::write(safe.file(), &whole[..20]).expect("it can be written");
        assert!(matches!(safe.get("a"), Err(SafeError::Form(_))));
        std::fs::write(safe.file(), &whole).expect("it can be written");
        let right = std::fs::read(&key).expect("it is there");
        std::fs::write(&key, "0".repeat(64)).expect("it can be written");
        assert!(matches!(safe.get("a"), Err(SafeError::Sealed { .. })));
        // And nothing is written over what cannot be read.
        assert!(safe.set("b", &secret("another-value")).is_err());
        std::fs::remove_file(&key).expect("it was there");
        assert!(matches!(safe.set("b", &secret("another-value")), Err(SafeError::NoKey(_))));
        std::fs::write(&key, right).expect("it can be written");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        assert_eq!(value(&safe, "a").as_deref(), Some("sealed-value"));
    }

    #[test]
    fn names_and_values_have_limits_and_are_not_repeated() {
        let root = tempfile::tempdir().expect("a folder");
        let safe = Safe::of_root(root.path());
        for name in ["", "a b", "ghp_secret/with/slashes", &"x".repeat(65)] {
            let Err(SafeError::Refused(why)) = safe.set(name, &secret("a-good-value")) else { panic!("{name}") };
            assert!(!why.contains("ghp_secret"), "{why}");
        }
        assert!(matches!(safe.set("a", &secret("")), Err(SafeError::Refused(_))));
        assert!(matches!(safe.set("a", &secret(&"y".repeat(SECRET_BYTES_MAX + 1))), Err(SafeError::Refused(_))));
    }

    #[test]
    fn what_the_agent_keeps_is_not_listed_and_stays_beside_the_operators() {
        let root = tempfile::tempdir().expect("a folder");
        let safe = Safe::of_root(root.path());
        safe.lock().expect("nobody has it").keep("oauth2/x", "rotated").expect("it is kept");
        safe.set("a", &secret("operators-own")).expect("it is kept");
        assert_eq!(
            safe.lock().expect("nobody has it").kept("oauth2/x").expect("it opens").as_deref().map(String::as_str),
            Some("rotated")
        );
        assert_eq!(safe.list().expect("it opens").len(), 1);
    }

    #[test]
    fn writers_take_turns() {
        let root = tempfile::tempdir().expect("a folder");
        let safe = Safe::of_root(root.path());
        std::thread::scope(|scope| {
            for number in 0..8 {
                let safe = safe.clone();
                scope.spawn(move || {
                    safe.set(&format!("s{number}"), &secret("one-of-eight")).map(drop).expect("it is kept")
                });
            }
        });
        assert_eq!(safe.list().expect("it opens").len(), 8);
    }
}
