//! What a component's file says of itself without being compiled or run: what it imports and exports, for which contract it
//! was built, and with what. It gets as far as the file lets it.

use std::collections::BTreeMap;

use serde::Serialize;
use wasmparser::{ComponentTypeRef, Encoding, KnownCustom, Parser, Payload};

use crate::cut;

/// The contract's package.
const PACKAGE: &str = "agent:integration";
/// The version that this host offers: those that begin like this can be run.
pub const CONTRACT_OFFERED: &str = "0.1";

/// Imports, and exports, that are listed: a real component has dozens.
const LISTED_MAX: usize = 10_000;
/// Names with versions in one field of what a component was made with, such fields, and bytes of each.
const PRODUCERS_MAX: usize = 64;
const FIELDS_MAX: usize = 16;
/// Bytes of a name that are kept. None that the host knows is as long.
const NAME_BYTES_MAX: usize = 1024;

/// What the host makes of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// It is there.
    Offered,
    /// It can be linked and gives nothing: no files, no sockets, no arguments.
    Inert,
    /// The host does not have it.
    Unknown,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    pub name: String,
    pub link: Link,
    /// What that means, for a person.
    pub meaning: &'static str,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Component,
    CoreModule,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Anatomy {
    pub kind: Option<Kind>,
    pub imports: Vec<Import>,
    pub exports: Vec<String>,
    /// The contract's version that it was built for, if it was built for the contract.
    pub contract: Option<String>,
    /// By field (`language`, `processed-by`, `sdk`): names with versions, of the component and of what is in it.
    pub producers: BTreeMap<String, Vec<String>>,
    /// Core modules in it.
    pub modules: u32,
    /// Whether it has debug information, with which a backtrace names lines.
    pub debug_info: bool,
    /// Why it could not be read on.
    pub broken: Option<String>,
}

/// Imports of WASI by how they begin, and what the host makes of each.
const WASI: &[(&str, Link, &str)] = &[
    ("wasi:cli/environment@0.2", Link::Inert, "no variables, no arguments, no folder"),
    ("wasi:cli/exit@0.2", Link::Offered, "ends the call as a failure"),
    ("wasi:cli/stdin@0.2", Link::Inert, "always at its end"),
    ("wasi:cli/stdout@0.2", Link::Offered, "goes to the log"),
    ("wasi:cli/stderr@0.2", Link::Offered, "goes to the log"),
    ("wasi:cli/terminal-", Link::Inert, "there is no terminal"),
    ("wasi:clocks/", Link::Offered, "the real clocks"),
    ("wasi:random/", Link::Offered, "real random numbers"),
    ("wasi:io/", Link::Offered, "streams of the others"),
    ("wasi:filesystem/", Link::Inert, "there are no files"),
    ("wasi:http/types@0.2", Link::Offered, "requests and answers of the next"),
    ("wasi:http/outgoing-handler@0.2", Link::Offered, "requests, by the rules asked and granted"),
    ("wasi:sockets/", Link::Inert, "every socket is refused; use agent:integration/http"),
    ("wasi:cli/", Link::Unknown, "the host does not have it"),
];

/// Interfaces of the contract.
const OWN: &[(&str, &str)] = &[
    ("types", "types that the others share"),
    ("log", "lines in the log"),
    ("http", "requests, by the rules asked and granted"),
    ("session", "records"),
    ("git", "repositories that the host exports"),
    ("state", "values that outlive a run"),
    ("oauth", "new access tokens"),
    ("control", "pause, resume, webhook URL"),
];

impl Anatomy {
    /// Reads a file's bytes as far as they can be read.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Anatomy {
        let mut anatomy = Anatomy {
            kind: None,
            imports: Vec::new(),
            exports: Vec::new(),
            contract: None,
            producers: BTreeMap::new(),
            modules: 0,
            debug_info: false,
            broken: None,
        };
        if let Err(error) = anatomy.read(bytes) {
            anatomy.broken = Some(error);
        }
        anatomy.contract = anatomy.contract_named();
        anatomy
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        let fault = |error: wasmparser::BinaryReaderError| error.to_string();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(fault)? {
                Payload::Version { encoding, .. } => {
                    let kind = if encoding == Encoding::Component { Kind::Component } else { Kind::CoreModule };
                    if self.kind.is_none() {
                        self.kind = Some(kind);
                    } else {
                        depth += 1;
                        self.modules += u32::from(kind == Kind::CoreModule);
                    }
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import.map_err(fault)?;
                        // Types and the like are no function that could be missing.
                        if matches!(import.ty, ComponentTypeRef::Instance(_) | ComponentTypeRef::Func(_)) {
                            self.imports.push(judged(cut(import.name.name, NAME_BYTES_MAX)));
                        }
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let export = export.map_err(fault)?;
                        self.exports.push(cut(export.name.name, NAME_BYTES_MAX).to_owned());
                    }
                }
                Payload::CustomSection(section) => {
                    self.debug_info |= section.name() == ".debug_line";
                    if let KnownCustom::Producers(producers) = section.as_known() {
                        // Written for people; what of it cannot be read is left out.
                        drop(self.produced(producers));
                    }
                }
                _ => {}
            }
            if self.imports.len().max(self.exports.len()) > LISTED_MAX {
                return Err(format!("it has more than {LISTED_MAX} imports or exports"));
            }
        }
        Ok(())
    }

    fn produced(&mut self, producers: wasmparser::ProducersSectionReader<'_>) -> wasmparser::Result<()> {
        for field in producers {
            let field = field?;
            let name = cut(field.name, NAME_BYTES_MAX);
            if self.producers.len() >= FIELDS_MAX && !self.producers.contains_key(name) {
                continue;
            }
            let names = self.producers.entry(name.to_owned()).or_default();
            for value in field.values {
                let value = value?;
                if names.len() >= PRODUCERS_MAX {
                    break;
                }
                let text = format!("{} {}", value.name, value.version);
                let text = cut(&text, NAME_BYTES_MAX).trim_end().to_owned();
                if !names.contains(&text) {
                    names.push(text);
                }
            }
        }
        Ok(())
    }

    /// The version in the names of the contract's interfaces; that of the export counts.
    fn contract_named(&self) -> Option<String> {
        let exports = self.exports.iter().map(String::as_str);
        let imports = self.imports.iter().map(|import| import.name.as_str());
        exports.chain(imports).find_map(|name| {
            let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
            Some(rest.split_once('@')?.1.to_owned())
        })
    }

    /// Why it cannot be run here, for a person; nothing if nothing stands in the way that can be seen.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        if let Some(why) = &self.broken {
            return Some(format!("it cannot be read to its end: {why}; build it again with a current toolchain"));
        }
        match self.kind {
            None => return Some("it is not WebAssembly".to_owned()),
            Some(Kind::CoreModule) => {
                let mend = "make a component: with Rust, build for the target wasm32-wasip2";
                return Some(format!("it is a core module and not a component; {mend}"));
            }
            Some(Kind::Component) => {}
        }
        let Some(version) = &self.contract else {
            let exports = if self.exports.is_empty() { "nothing".to_owned() } else { self.exports.join(", ") };
            return Some(format!(
                "it is a component of another world: it exports {exports}; build it for {PACKAGE}/agent-integration@{CONTRACT_OFFERED}.0"
            ));
        };
        if !offered(version) {
            let needed: Vec<&str> = version.splitn(3, '.').take(2).collect();
            return Some(format!(
                "it needs {PACKAGE} {}, this agent offers {CONTRACT_OFFERED}; use an agent that offers it, or build it for {CONTRACT_OFFERED}",
                needed.join(".")
            ));
        }
        if !self.exports.iter().any(|name| name.starts_with("agent:integration/integration@")) {
            return Some(format!("it does not export {PACKAGE}/integration, which every integration has"));
        }
        let unknown: Vec<&str> = self
            .imports
            .iter()
            .filter(|import| import.link == Link::Unknown)
            .map(|import| import.name.as_str())
            .collect();
        (!unknown.is_empty()).then(|| {
            format!(
                "it imports what an integration cannot have: {}; do without, or use what {PACKAGE} offers",
                unknown.join(", ")
            )
        })
    }
}

fn offered(version: &str) -> bool {
    version.strip_prefix(CONTRACT_OFFERED).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn judged(name: &str) -> Import {
    let (link, meaning) = link(name);
    Import { name: name.to_owned(), link, meaning }
}

fn link(name: &str) -> (Link, &'static str) {
    if let Some((interface, version)) = name.strip_prefix("agent:integration/").and_then(|rest| rest.split_once('@')) {
        return match OWN.iter().find(|(known, _)| *known == interface) {
            Some((_, meaning)) if offered(version) => (Link::Offered, meaning),
            Some(_) => (Link::Unknown, "of a version that this agent does not offer"),
            None => (Link::Unknown, "the contract has no such interface"),
        };
    }
    let known = WASI.iter().find(|(begin, ..)| name.starts_with(begin));
    match known {
        Some((_, link, meaning)) if name.contains("@0.2.") => (*link, meaning),
        Some(_) => (Link::Unknown, "of a version of WASI that the host does not have; it has 0.2"),
        None => (Link::Unknown, "the host does not have it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(imports: &[&str], exports: &[&str]) -> Anatomy {
        let mut anatomy = Anatomy::of(b"\0asm\x0d\0\x01\0");
        anatomy.imports = imports.iter().map(|name| judged(name)).collect();
        anatomy.exports = exports.iter().map(|name| (*name).to_owned()).collect();
        anatomy.contract = anatomy.contract_named();
        anatomy
    }

    #[test]
    fn what_stands_in_the_way_is_named_with_its_mend() {
        let integration = "agent:integration/integration@0.1.0";
        for (imports, exports, said) in [
            (&["agent:integration/log@0.1.0", "wasi:io/poll@0.2.6"][..], &[integration][..], None),
            (&[], &["agent:integration/integration@0.1.7"], None),
            (&[], &["agent:integration/integration@0.3.0"], Some("needs agent:integration 0.3, this agent offers 0.1")),
            (&["agent:integration/log@0.10.0"], &[], Some("needs agent:integration 0.10, this agent offers 0.1")),
            (&["wasi:http/outgoing-handler@0.2.6", "wasi:http/types@0.2.6"], &[integration], None),
            (&["wasi:http/outgoing-handler@0.3.0"], &[integration], Some("wasi:http/outgoing-handler@0.3.0")),
            (&["wasi:clocks/wall-clock@0.3.0"], &[integration], Some("wasi:clocks/wall-clock@0.3.0")),
            (&[], &["wasi:cli/run@0.2.6"], Some("another world: it exports wasi:cli/run@0.2.6")),
            (&[], &[], Some("it exports nothing")),
        ] {
            let obstacle = named(imports, exports).obstacle();
            match said {
                None => assert_eq!(obstacle, None, "{imports:?} {exports:?}"),
                Some(said) => assert!(obstacle.as_deref().is_some_and(|why| why.contains(said)), "{obstacle:?}"),
            }
        }
    }

    /// As many names as a file has room for.
    #[test]
    fn what_a_component_was_made_with_is_bounded() {
        let leb = |number: usize| [number as u8 & 0x7f | 0x80, (number >> 7) as u8 & 0x7f | 0x80, (number >> 14) as u8];
        let mut section = vec![9];
        section.extend(b"producers\x01\x08language");
        section.extend(leb(100_000));
        (0..100_000_u32).for_each(|n| section.extend(format!("\x08{n:08}\x01v").bytes()));
        let mut component = b"\0asm\x0d\0\x01\0\0".to_vec();
        component.extend(leb(section.len()));
        component.extend(&section);
        let anatomy = Anatomy::of(&component);
        assert_eq!((anatomy.broken, anatomy.producers["language"].len()), (None, PRODUCERS_MAX));
    }

    #[test]
    fn what_is_not_a_component_is_said() {
        for (bytes, said) in [
            (&b"<html>"[..], "cannot be read"),
            (b"\0asm\x01\0\0\0", "core module"),
            (b"\0asm\x0d\0\x01\0\x0a\x05\x01", "cannot be read"),
        ] {
            let obstacle = Anatomy::of(bytes).obstacle();
            assert!(obstacle.as_deref().is_some_and(|why| why.contains(said)), "{bytes:?}: {obstacle:?}");
        }
    }
}
