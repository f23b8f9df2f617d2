//! Where the value of a secret comes from: the safe, a variable, a file, a program, the configuration itself. Read when it is
//! needed. Faults say where it was looked for and never what was found.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use zeroize::{Zeroize, Zeroizing};

use super::key::KEY_VARIABLE;
use super::safe::Safe;
use super::{SECRET_BYTES_MAX, Secret};
use crate::config::SecretSource;
use crate::files;
use crate::shutdown::Shutdown;

/// What a program may take to print a secret: one that asks a server over the network takes a second or two.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);
/// How long what it printed is used again: it must not run for each request.
const COMMAND_FRESH: Duration = Duration::from_secs(60);
/// How often it is looked whether a program that has closed its output has ended.
const END_POLL: Duration = Duration::from_millis(5);
/// Reading anything at all: a file may lie on a disk that does not answer.
const READ_TIME_MAX: Duration = Duration::from_secs(15);

/// What programs printed, and when, by program and arguments.
type Printed = HashMap<Vec<String>, (Instant, Secret)>;

/// The places that secrets come from. Clones share what programs have printed.
#[derive(Clone)]
pub struct Sources {
    safe: Option<Safe>,
    shutdown: Shutdown,
    printed: Arc<Mutex<Printed>>,
}

/// What the agent keeps for itself under one name, while nobody else may change it. One agent reads it, another waits.
pub(crate) struct Kept {
    name: String,
    safe: Option<Safe>,
}

impl Sources {
    /// With the safe of this root; without a root there is none.
    #[must_use]
    pub fn new(root: Option<&Path>, shutdown: &Shutdown) -> Sources {
        Sources { safe: root.map(Safe::of_root), shutdown: shutdown.clone(), printed: Arc::default() }
    }

    /// The value, now.
    ///
    /// # Errors
    /// There is none: where it was looked for, and why.
    pub async fn read(&self, source: &SecretSource) -> Result<Secret, String> {
        if let SecretSource::Written { value, .. } = source {
            return Ok(Secret::new(value.reveal().to_owned()));
        }
        if let SecretSource::Command(words) = source
            && let Some((at, value)) = self.printed().get(words)
            && at.elapsed() < COMMAND_FRESH
        {
            return Ok(value.clone());
        }
        let (sources, reading) = (self.clone(), source.clone());
        let read = self.shutdown.spawn_blocking(move || sources.read_now(&reading));
        match tokio::time::timeout(READ_TIME_MAX, read).await {
            Ok(Ok(value)) => value,
            Ok(Err(_)) => Err("reading it broke off; this is a fault of the agent".to_owned()),
            Err(_) => Err(format!("{} gives nothing within {} s", place(source), READ_TIME_MAX.as_secs())),
        }
    }

    /// Has the next reading of a program's secret run it again: what it gave is refused.
    pub(crate) fn forget(&self, source: &SecretSource) {
        if let SecretSource::Command(words) = source {
            self.printed().remove(words);
        }
    }

    /// What the agent keeps under a name.
    pub(crate) fn kept(&self, name: &str) -> Kept {
        Kept { name: name.to_owned(), safe: self.safe.clone() }
    }

    fn printed(&self) -> std::sync::MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_now(&self, source: &SecretSource) -> Result<Secret, String> {
        let value = match source {
            SecretSource::Written { value, .. } => value.reveal().to_owned(),
            SecretSource::Env(variable) => {
                let value = std::env::var_os(variable).ok_or_else(|| format!("the variable {variable} is not set"))?;
                value.into_string().map_err(|_| format!("the variable {variable} is not UTF-8 text"))?
            }
            SecretSource::File(path) => read_file(path)?,
            SecretSource::Stored(name) => return self.stored(name),
            SecretSource::Command(words) => run(words)?,
        };
        if value.is_empty() {
            return Err(format!("{} is empty", place(source)));
        }
        let value = Secret::new(value);
        if let SecretSource::Command(words) = source {
            self.printed().insert(words.clone(), (Instant::now(), value.clone()));
        }
        Ok(value)
    }

    fn stored(&self, name: &str) -> Result<Secret, String> {
        let safe = self.safe.as_ref().ok_or_else(|| {
            format!(
                "there is no root whose secrets could hold `{name}`; name one with --root, or use env, file or command"
            )
        })?;
        let found = safe.get(name).map_err(|fault| fault.to_string())?;
        found.ok_or_else(|| format!("there is no secret `{name}`; keep one with: agent secrets set {name}"))
    }
}

impl Kept {
    /// Reads what is kept, hands it over, and keeps what comes back; nobody else does the same meanwhile. Without a root nothing
    /// is kept. Blocks.
    pub(crate) fn exchange<T>(
        &self,
        work: impl FnOnce(Option<Zeroizing<String>>) -> Result<(T, Option<Zeroizing<String>>), String>,
    ) -> Result<T, String> {
        let Some(safe) = &self.safe else { return work(None).map(|(given, _)| given) };
        let fault = |fault: super::SafeError| fault.to_string();
        let locked = safe.lock().map_err(fault)?;
        let (given, keep) = work(locked.kept(&self.name).map_err(fault)?)?;
        if let Some(keep) = keep {
            locked.keep(&self.name, &keep).map_err(fault)?;
        }
        Ok(given)
    }

    /// Whether there is a place to keep anything.
    pub(crate) fn lasts(&self) -> bool {
        self.safe.is_some()
    }
}

/// The place of a secret, for faults.
fn place(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(variable) => format!("the variable {variable}"),
        SecretSource::File(path) => path.display().to_string(),
        SecretSource::Command(words) => format!("the program {}", words.first().map_or("", String::as_str)),
        SecretSource::Stored(name) => format!("the secret `{name}`"),
        SecretSource::Written { place, .. } => place.clone(),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let mut bytes = Vec::with_capacity(SECRET_BYTES_MAX + 1);
    let read = files::open(path).and_then(|file| file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|fault| format!("{shown} cannot be read: {fault}"))?;
    text(bytes, &shown.to_string())
}

/// The value in what was read: text, without one final line end.
fn text(mut bytes: Vec<u8>, place: &str) -> Result<String, String> {
    if bytes.len() > SECRET_BYTES_MAX {
        bytes.zeroize();
        return Err(format!("{place} gives more than the {SECRET_BYTES_MAX} bytes that a secret may have"));
    }
    let mut value = String::from_utf8(bytes).map_err(|_| format!("{place} is not UTF-8 text"))?;
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    Ok(value)
}

/// Runs a program, without a shell, and gives what it prints. It sees the agent's environment but not the safe's key; what it
/// says on standard error is not shown, since programs that fail tell what they were given.
fn run(words: &[String]) -> Result<String, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("no program is named".to_owned()) };
    let mut command = Command::new(program);
    command.args(arguments).env_remove(KEY_VARIABLE).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own, so that what it starts ends with it.
    command.process_group(0);
    let mut child = command.spawn().map_err(|fault| format!("the program {program} cannot be started: {fault}"))?;
    let deadline = Instant::now() + COMMAND_TIME_MAX;
    let printed = printed_by(&mut child, deadline);
    let ended = printed.and_then(|bytes| Ok((bytes, end_of(&mut child, deadline)?)));
    if ended.is_err() {
        end(&mut child);
    }
    match ended {
        Ok((bytes, status)) if status.success() => text(bytes, &format!("the program {program}")),
        Ok((mut bytes, status)) => {
            bytes.zeroize();
            Err(format!("the program {program} fails ({status}); run it by hand to see why"))
        }
        Err(why) => Err(format!("the program {program} {why}")),
    }
}

/// Kills a program with all that it has started.
fn end(child: &mut Child) {
    if let Ok(group) = libc::pid_t::try_from(child.id()) {
        // SAFETY: sends a signal; no memory is touched. The child has not been waited for, so its number is its own.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    // It is gone, or never was.
    let _ = child.wait();
}

/// What a program prints until it closes its output; one more byte than a secret may have, at most.
fn printed_by(child: &mut Child, deadline: Instant) -> Result<Vec<u8>, String> {
    let Some(mut output) = child.stdout.take() else { return Err("has no output".to_owned()) };
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while bytes.len() <= SECRET_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut waits = libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the pointer is to one local that outlives the call, which fills it in.
        let ready = unsafe {
            libc::poll(&raw mut waits, 1, libc::c_int::try_from(left.as_millis()).unwrap_or(libc::c_int::MAX))
        };
        if ready < 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted {
            continue;
        }
        if ready == 0 {
            return Err(format!("gives nothing within {} s", COMMAND_TIME_MAX.as_secs()));
        }
        match output.read(&mut piece) {
            Ok(0) => break,
            Ok(size) => bytes.extend_from_slice(&piece[..size]),
            Err(fault) if fault.kind() == std::io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(format!("cannot be read: {fault}")),
        }
    }
    piece.zeroize();
    Ok(bytes)
}

fn end_of(child: &mut Child, deadline: Instant) -> Result<std::process::ExitStatus, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(END_POLL),
            Ok(None) => return Err(format!("does not end within {} s", COMMAND_TIME_MAX.as_secs())),
            Err(fault) => return Err(format!("cannot be waited for: {fault}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(root: Option<&Path>) -> Sources {
        Sources::new(root, &Shutdown::default())
    }

    fn read(sources: &Sources, source: &SecretSource) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(sources.read(source)).map(|value| value.reveal().to_owned())
    }

    fn command(words: &[&str]) -> SecretSource {
        SecretSource::Command(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn a_value_comes_from_a_file_without_one_line_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        for (bytes, expected) in [
            ("one-value\n", "one-value"),
            ("one-value\r\n", "one-value"),
            ("one\ntwo\n\n", "one\ntwo\n"),
            (" one ", " one "),
        ] {
            std::fs::write(&file, bytes).expect("it can be written");
            assert_eq!(read(&sources(None), &SecretSource::File(file.clone())).as_deref(), Ok(expected));
        }
        for (bytes, said) in
            [(vec![], "is empty"), (vec![0xff; 9], "UTF-8"), (vec![b'x'; SECRET_BYTES_MAX + 1], "more than")]
        {
            std::fs::write(&file, bytes).expect("it can be written");
            assert!(
                read(&sources(None), &SecretSource::File(file.clone())).is_err_and(|why| why.contains(said)),
                "{said}"
            );
        }
        let gone = SecretSource::File(folder.path().join("gone"));
        assert!(read(&sources(None), &gone).is_err_and(|why| why.contains("gone cannot be read")));
        let pipe = folder.path().join("pipe");
        files::tests::pipe(&pipe);
        for (path, what) in [(pipe, "pipe"), (folder.path().to_owned(), "folder"), ("/dev/zero".into(), "device")] {
            let told = read(&sources(None), &SecretSource::File(path)).expect_err(what);
            assert!(told.contains(&format!("cannot be read: it is a {what}, and is to be a file")), "{told}");
        }
    }

    #[test]
    fn a_value_comes_from_the_safe() {
        let root = tempfile::tempdir().expect("a folder");
        Safe::of_root(root.path()).set("github", &Secret::new("from-the-safe".to_owned())).expect("it is kept");
        let (with, without) = (sources(Some(root.path())), sources(None));
        assert_eq!(read(&with, &SecretSource::Stored("github".into())).as_deref(), Ok("from-the-safe"));
        let missing = read(&with, &SecretSource::Stored("gitlab".into()));
        assert!(missing.is_err_and(|why| why.contains("agent secrets set gitlab")));
        assert!(read(&without, &SecretSource::Stored("github".into())).is_err_and(|why| why.contains("no root")));
    }

    #[test]
    fn a_value_comes_from_a_program_which_is_not_run_for_each_request() {
        let folder = tempfile::tempdir().expect("a folder");
        let count = folder.path().join("count");
        let line = format!("echo x >> {}; echo printed-value", count.display());
        let (sources, source) = (sources(None), command(&["/bin/sh", "-c", &line]));
        for _ in 0..3 {
            assert_eq!(read(&sources, &source).as_deref(), Ok("printed-value"));
        }
        let runs = || std::fs::read_to_string(&count).expect("it ran").lines().count();
        assert_eq!(runs(), 1);
        sources.forget(&source);
        assert_eq!(read(&sources, &source).as_deref(), Ok("printed-value"));
        assert_eq!(runs(), 2);
    }

    #[test]
    fn a_program_that_fails_tells_nothing_of_what_it_printed() {
        for (words, said) in [
            (&["/bin/sh", "-c", "echo half-a-secret; exit 3"][..], "fails"),
            (&["/nowhere/program"], "cannot be started"),
            (&["/bin/sh", "-c", "true"], "is empty"),
            (&["/bin/sh", "-c", "yes | head -c 20000"], "more than"),
        ] {
            let why = read(&sources(None), &command(words)).expect_err(said);
            assert!(why.contains(said) && !why.contains("half-a"), "{why}");
        }
    }

    #[test]
    fn what_is_kept_is_exchanged_whole() {
        let root = tempfile::tempdir().expect("a folder");
        let kept = sources(Some(root.path())).kept("oauth2/a");
        let first = kept.exchange(|was| Ok((was.is_none(), Some(Zeroizing::new("one".to_owned())))));
        assert_eq!(first, Ok(true));
        assert_eq!(kept.exchange(|_| Err::<((), _), _>("refused".to_owned())), Err("refused".to_owned()));
        assert_eq!(kept.exchange(|was| Ok((was.as_deref().cloned(), None))), Ok(Some("one".to_owned())));
        assert!(kept.lasts() && !sources(None).kept("x").lasts());
    }
}
