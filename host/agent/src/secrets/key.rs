//! The key of the safe: where it lies, and how it is made. 32 random bytes, written as 64 hexadecimal digits. What is sealed with
//! it is `safe`'s.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::files;

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
/// The variable that holds the key itself.
pub(super) const KEY_VARIABLE: &str = "AGENT_SECRETS_KEY";
/// The variable that names the key's file.
const FILE_VARIABLE: &str = "AGENT_SECRETS_KEY_FILE";
/// Where systemd puts credentials, and the name of ours among them (`LoadCredential=`, `LoadCredentialEncrypted=`).
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
const CREDENTIAL_NAME: &str = "agent-secrets-key";
/// Bytes of a key's file: the digits, and what editors add.
const FILE_BYTES_MAX: u64 = 256;
/// Rights of others than the owner.
const OTHERS: u32 = 0o077;

/// A key and where it was found, for faults.
pub(super) struct Key {
    pub bytes: Zeroizing<[u8; KEY_BYTES]>,
    pub place: String,
}

/// Where a key may lie.
enum Place {
    Variable,
    /// A file, and whether its rights are ours to judge.
    File(PathBuf, bool),
}

/// The first place that is named; the safe's own folder where none is.
fn place(folder: &Path, variables: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Place {
    let named = |name: &str| variables(name).filter(|value| !value.is_empty());
    if named(KEY_VARIABLE).is_some() {
        return Place::Variable;
    }
    if let Some(file) = named(FILE_VARIABLE) {
        return Place::File(file.into(), true);
    }
    // systemd keeps its folder from everybody else, whatever the files' own rights say.
    let given = named(CREDENTIALS_VARIABLE).map(|folder| Path::new(&folder).join(CREDENTIAL_NAME));
    match given.filter(|file| file.exists()) {
        Some(file) => Place::File(file, false),
        None => Place::File(folder.join("key"), true),
    }
}

/// The key, or none if there is none yet.
pub(super) fn find(folder: &Path) -> Result<Option<Key>, String> {
    find_by(folder, &|name| std::env::var_os(name))
}

fn find_by(folder: &Path, variables: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Result<Option<Key>, String> {
    let (text, place) = match place(folder, variables) {
        Place::Variable => {
            let value = variables(KEY_VARIABLE).and_then(|value| value.into_string().ok()).unwrap_or_default();
            (Zeroizing::new(value), format!("the variable {KEY_VARIABLE}"))
        }
        Place::File(file, judged) => match read(&file, judged)? {
            Some(text) => (text, file.display().to_string()),
            None if file == folder.join("key") => return Ok(None),
            None => return Err(format!("there is no key at {}; put it there, or name another place", file.display())),
        },
    };
    let bytes = parse(&text)
        .ok_or_else(|| format!("{place} does not hold a key: it is {} hexadecimal digits", 2 * KEY_BYTES))?;
    Ok(Some(Key { bytes, place }))
}

fn read(file: &Path, judged: bool) -> Result<Option<Zeroizing<String>>, String> {
    let shown = file.display();
    let unreadable = |error: std::io::Error| {
        format!("the key {shown} cannot be read: {error}; put a file of {} hexadecimal digits there", 2 * KEY_BYTES)
    };
    let opened = match files::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mode = opened.metadata().map_err(unreadable)?.mode();
    if judged && mode & OTHERS != 0 {
        return Err(format!(
            "others than its owner may use the key {shown}: chmod 600 it, and make a new one if they may have read it"
        ));
    }
    let mut text = Zeroizing::new(String::new());
    opened.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Ok(Some(text))
}

fn parse(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let digits = text.trim().as_bytes();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

/// Makes a key in the safe's own folder, its owner's alone. There must be none, and nobody else makes one meanwhile.
pub(super) fn make(folder: &Path) -> Result<Key, String> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| "the system gives no random numbers".to_owned())?;
    let file = folder.join("key");
    let text: Zeroizing<String> = Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    let failed = |error: std::io::Error| {
        format!("the key {} cannot be made: {error}; {}", file.display(), files::mend_of(&error))
    };
    if file.symlink_metadata().is_ok() {
        return Err(failed(ErrorKind::AlreadyExists.into()));
    }
    // Whole or not at all: half a key opens nothing, and stands in the place of one that would.
    files::replace(&file, &folder.join("key.new"), &[text.as_bytes(), b"\n"]).map_err(failed)?;
    Ok(Key { bytes, place: file.display().to_string() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(find_by(folder.path(), &|_| None).expect("none is no fault").is_none());
        let made = make(folder.path()).unwrap_or_else(|why| panic!("{why}"));
        let found = find_by(folder.path(), &|_| None).unwrap_or_else(|why| panic!("{why}")).expect("it is there");
        assert_eq!(*made.bytes, *found.bytes);
        assert_eq!(std::fs::metadata(folder.path().join("key")).expect("it is there").mode() & 0o777, 0o600);
        assert!(make(folder.path()).is_err(), "a key is never overwritten");
    }

    #[test]
    fn the_first_place_that_is_named_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let given = folder.path().join(CREDENTIAL_NAME);
        std::fs::write(&given, "a".repeat(64)).expect("it can be written");
        // As a service has it from systemd, readable by its group.
        std::fs::set_permissions(&given, std::fs::Permissions::from_mode(0o440)).expect("ours");
        let credentials = |name: &str| (name == CREDENTIALS_VARIABLE).then(|| folder.path().as_os_str().to_owned());
        let found = find_by(folder.path(), &credentials).unwrap_or_else(|why| panic!("{why}")).expect("a key");
        assert_eq!(*found.bytes, [0xaa; KEY_BYTES]);
        let variable = |name: &str| if name == KEY_VARIABLE { Some("b".repeat(64).into()) } else { credentials(name) };
        let found = find_by(folder.path(), &variable).unwrap_or_else(|why| panic!("{why}")).expect("a key");
        assert_eq!(*found.bytes, [0xbb; KEY_BYTES]);
    }

    #[test]
    fn a_key_that_is_none_or_anybodys_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        for (text, mode, said) in [
            ("c".repeat(64), 0o644, "chmod 600"),
            ("c".repeat(63), 0o600, "64 hexadecimal"),
            ("x".repeat(64), 0o600, "64 hexadecimal"),
        ] {
            std::fs::write(&file, text).expect("it can be written");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("ours");
            let Err(why) = find_by(folder.path(), &|_| None) else { panic!("{said}") };
            assert!(why.contains(said) && !why.contains("ccc"), "{why}");
        }
        std::fs::remove_file(&file).expect("it is ours");
        files::tests::pipe(&file);
        let Err(why) = find_by(folder.path(), &|_| None) else { panic!("it is a pipe") };
        assert!(why.contains("it is a pipe, and is to be a file; put"), "{why}");
        let elsewhere = |name: &str| (name == FILE_VARIABLE).then(|| "/nowhere/key".into());
        assert!(find_by(folder.path(), &elsewhere).is_err_and(|why| why.contains("/nowhere/key")));
    }
}
