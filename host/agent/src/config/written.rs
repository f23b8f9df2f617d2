//! Where the settings of integrations are written. Whether an integration's own configuration fits it is found out long
//! after the file was read; with this the fault can still name the line.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::fault::{ConfigFault, Place};
use super::lift::join;
use super::read::{Node, Value};

/// The places of all integrations' own configurations.
#[derive(Clone, Default)]
pub struct Written {
    integrations: BTreeMap<String, Settings>,
}

#[derive(Clone)]
struct Settings {
    /// The file, or the flag that carried the text.
    file: String,
    /// By JSON Pointer: the place, and the setting's path.
    places: HashMap<String, (Place, String)>,
}

impl Written {
    /// Notes where the configuration of the integration `name` stands: `node` is the whole entry, at `path`.
    pub(super) fn note(&mut self, name: &str, file: &str, node: &Node, path: &str) {
        let path = join(path, "config");
        let mut places = HashMap::new();
        let config = match &node.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == "config"),
            _ => None,
        };
        match config {
            Some(entry) if matches!(entry.node.value, Value::Map(_)) => {
                walk(&entry.node, entry.at, "", &path, &mut places)
            }
            Some(entry) => drop(places.insert(String::new(), (entry.at, path))),
            None => drop(places.insert(String::new(), (node.at, path))),
        }
        self.integrations.insert(name.to_owned(), Settings { file: file.to_owned(), places });
    }

    /// A fault of an integration's own configuration, at the place that a JSON Pointer into it names, or at the nearest one
    /// above it that is written.
    #[must_use]
    pub fn fault(&self, integration: &str, pointer: &str, fault: &str, mend: &str) -> ConfigFault {
        let none = || ConfigFault {
            file: integration.to_owned(),
            line: 0,
            column: 0,
            path: format!("config{}", pointer.replace('/', ".")),
            fault: fault.to_owned(),
            mend: mend.to_owned(),
        };
        let Some(settings) = self.integrations.get(integration) else { return none() };
        let mut at = pointer;
        let (place, path) = loop {
            match (settings.places.get(at), at.rfind('/')) {
                (Some(found), _) => break found,
                (None, Some(end)) => at = &at[..end],
                (None, None) => return none(),
            }
        };
        ConfigFault {
            file: settings.file.clone(),
            line: place.line,
            column: place.column,
            path: path.clone(),
            ..none()
        }
    }
}

/// Their number; the places are long.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Written of {}", self.integrations.len())
    }
}

fn walk(node: &Node, at: Place, pointer: &str, path: &str, places: &mut HashMap<String, (Place, String)>) {
    places.insert(pointer.to_owned(), (at, path.to_owned()));
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let name = entry.key.replace('~', "~0").replace('/', "~1");
                // The key's place: an editor jumps to where the setting begins.
                walk(&entry.node, entry.at, &format!("{pointer}/{name}"), &join(path, &entry.key), places);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, item.at, &format!("{pointer}/{index}"), &format!("{path}[{index}]"), places);
            }
        }
        _ => {}
    }
}
