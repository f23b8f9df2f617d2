//! A trap's backtrace as its author reads it: the guest's own functions first, each with its place in the source where the
//! component says it; what toolchains and libraries put between is folded into one line.

use std::fmt::Write;

use wasmtime::WasmBacktrace;

use crate::cut;

/// Frames shown. A deep recursion repeats itself.
const FRAMES_MAX: usize = 16;

/// Bytes of a name or a place that are shown.
const NAME_BYTES_MAX: usize = 1024;

/// Names of folded functions that are told.
const FOLDED_TOLD_MAX: usize = 4;

/// How the names of functions begin that are not the author's: language runtimes, allocators, generated glue.
const NOISE: &[&str] = &[
    "core::",
    "std::",
    "alloc::",
    "<core::",
    "<std::",
    "<alloc::",
    "rust_",
    "__rust",
    "__rustc",
    "panic_",
    "abort",
    "_abort",
    "__cxa",
    "wit_bindgen",
    "agent_sdk::",
    "<agent_sdk::",
    "dlmalloc",
    "malloc",
    "realloc",
    "cabi_",
    "_start",
    "__wasm",
    "__wasi",
    "wasi",
    "wit-component",
    "<unknown",
    "exit",
    "_Exit",
    "hashbrown::",
    "serde_core::",
    "agent:",
];

/// Parts of names that only glue has, wherever they stand.
const GLUE: &[&str] = &["::__export", "_export_", "::__private::", "__link_custom_section", "bindings::exports::"];

/// One frame, or one function that was inlined into it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    name: String,
    place: Option<String>,
}

impl Frame {
    fn is_noise(&self) -> bool {
        NOISE.iter().any(|begin| self.name.starts_with(begin)) || GLUE.iter().any(|part| self.name.contains(part))
    }
}

/// The text of a backtrace; empty if there are no frames. The engine's own text is not used: it undoes the mangling of names
/// without bounds, and a name of a hundred bytes can be made to mean gigabytes.
pub(super) fn readable(trace: &WasmBacktrace) -> String {
    let mut frames = Vec::new();
    for frame in trace.frames() {
        let own_name = || match frame.func_name() {
            Some(name) => plain(name),
            None => format!("<wasm function {}>", frame.func_index()),
        };
        if frame.symbols().is_empty() {
            frames.push(Frame { name: own_name(), place: None });
        }
        for (index, symbol) in frame.symbols().iter().enumerate() {
            let name = match symbol.name() {
                Some(name) => plain(name),
                None if index == 0 => own_name(),
                None => "<inlined function>".to_owned(),
            };
            let numbers = [symbol.line(), symbol.column()].into_iter().map_while(|number| number);
            let place = symbol.file().map(|file| {
                numbers.fold(short_place(cut(file, NAME_BYTES_MAX)), |place, number| format!("{place}:{number}"))
            });
            frames.push(Frame { name, place });
        }
    }
    shown(&frames)
}

/// A function's name as its author wrote it, where it was mangled as Rust does.
fn plain(name: &str) -> String {
    let mut text = Bounded(String::new());
    let whole = match rustc_demangle::try_demangle(cut(name, NAME_BYTES_MAX)) {
        Ok(name) => write!(text, "{name:#}"),
        Err(_) => text.write_str(name),
    };
    if whole.is_err() {
        text.0.push('…');
    }
    without_hashes(&text.0)
}

/// A text that takes so much, and refuses what comes after.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let fits = cut(text, NAME_BYTES_MAX.saturating_sub(self.0.len()));
        self.0.push_str(fits);
        if fits.len() == text.len() { Ok(()) } else { Err(std::fmt::Error) }
    }
}

/// `::h0123456789abcdef` at the end of a Rust name, and `[0123456789abcdef]` behind a crate's, say nothing to a person.
fn without_hashes(name: &str) -> String {
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = match name.rsplit_once("::h") {
        Some((bare, hash)) if is_hash(hash) => bare,
        _ => name,
    };
    let mut parts = name.split('[');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            // The crate's hash is not padded.
            Some((hash, rest)) if hash.len() > 8 && hash.len() <= 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
                out.push_str(rest);
            }
            _ => {
                out.push('[');
                out.push_str(part);
            }
        }
    }
    out
}

/// A place without the folders in which others' sources were built.
fn short_place(place: &str) -> String {
    for root in ["/registry/src/", "/rustc/", "/git/checkouts/"] {
        if let Some((_, rest)) = place.split_once(root) {
            // The next part names a registry or a commit.
            return rest.split_once('/').map_or(rest, |(_, rest)| rest).to_owned();
        }
    }
    place.to_owned()
}

fn shown(frames: &[Frame]) -> String {
    let own: Vec<&Frame> = frames.iter().filter(|frame| !frame.is_noise()).collect();
    // Where nothing is the author's, all of it is better than none.
    let (told, folded): (Vec<&Frame>, Vec<&Frame>) = match own.is_empty() {
        true => (frames.iter().collect(), Vec::new()),
        false => (own, frames.iter().filter(|frame| frame.is_noise()).collect()),
    };
    let mut out = String::new();
    let told = repeated(&told);
    for (index, (frame, times)) in told.iter().take(FRAMES_MAX).enumerate() {
        out.push_str(&format!("{index:>4}  {}", frame.name));
        if *times > 1 {
            out.push_str(&format!("  ({times} times)"));
        }
        if let Some(place) = &frame.place {
            out.push_str(&format!("\n      at {place}"));
        }
        out.push('\n');
    }
    if told.len() > FRAMES_MAX {
        out.push_str(&format!("      … {} more frames\n", told.len() - FRAMES_MAX));
    }
    if !folded.is_empty() {
        let mut names: Vec<&str> = Vec::new();
        for frame in &folded {
            if !names.contains(&frame.name.as_str()) {
                names.push(&frame.name);
            }
        }
        let more = if names.len() > FOLDED_TOLD_MAX { ", …" } else { "" };
        let names = names[..names.len().min(FOLDED_TOLD_MAX)].join(", ");
        out.push_str(&format!("      … {} frames of runtime and libraries left out ({names}{more})\n", folded.len()));
    }
    out.trim_end().to_owned()
}

/// Frames with how often each follows itself.
fn repeated<'a>(frames: &[&'a Frame]) -> Vec<(&'a Frame, usize)> {
    let mut out: Vec<(&Frame, usize)> = Vec::new();
    for frame in frames {
        match out.last_mut() {
            Some((last, times)) if last == frame => *times += 1,
            _ => out.push((frame, 1)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, place: Option<&str>) -> Frame {
        Frame { name: plain(name), place: place.map(short_place) }
    }

    #[test]
    fn the_authors_frames_stand_first_and_the_rest_is_folded() {
        let frames = [
            frame("abort", None),
            frame(
                "std[d123b7a1a2ed147]::process::abort::h0123456789abcdef",
                Some("/rustc/0abc/library/std/src/process.rs:2542:5"),
            ),
            frame("_ZN4core9panicking9panic_fmt17h00000000000000aaE", None),
            frame("mine::page::parse::hdeadbeefdeadbeef", Some("/home/me/mine/src/page.rs:12:5")),
            frame("_ZN4mine4page3all17hdeadbeefdeadbeefE", Some("/home/me/mine/src/page.rs:40:9")),
            frame("agent:integration/integration@0.1.0#export", None),
        ];
        assert_eq!(
            shown(&frames),
            "   0  mine::page::parse
      at /home/me/mine/src/page.rs:12:5
   1  mine::page::all
      at /home/me/mine/src/page.rs:40:9
      … 4 frames of runtime and libraries left out (abort, std::process::abort, core::panicking::panic_fmt, \
             agent:integration/integration@0.1.0#export)"
        );
    }

    #[test]
    fn recursion_is_counted_and_what_is_all_noise_is_shown() {
        let deep: Vec<Frame> = (0..100).map(|_| frame("deep::down", None)).collect();
        assert_eq!(shown(&deep), "   0  deep::down  (100 times)");
        assert_eq!(shown(&[frame("abort", None)]), "   0  abort");
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn names_are_bounded_however_they_are_mangled() {
        assert!(plain(&"x".repeat(1 << 20)).len() <= NAME_BYTES_MAX + "…".len());
        // Each of these types is a pair of the one before, by reference.
        let mut name = "_RINvC1a1fTuuE".to_owned();
        for _ in 0..40 {
            name.push_str("TBb_BdE");
        }
        name.push('E');
        assert!(plain(&name).len() <= NAME_BYTES_MAX + "…".len());
    }

    #[test]
    fn places_lose_the_folders_of_others() {
        for (place, expected) in [
            ("/h/.cargo/registry/src/index-1/serde-1.0/src/lib.rs:1:2", "serde-1.0/src/lib.rs:1:2"),
            ("/rustc/59807616e/library/core/src/panicking.rs:75:14", "library/core/src/panicking.rs:75:14"),
            ("src/lib.rs:1", "src/lib.rs:1"),
        ] {
            assert_eq!(short_place(place), expected);
        }
    }
}
