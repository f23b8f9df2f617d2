//! Lifts `egress` of agent.yaml: how requests leave this machine. What they may reach is `grants`.

use std::ops::RangeInclusive;
use std::time::Duration;

use url::Url;

use super::fault::Faults;
use super::lift::{Paths, Section, duration, integer, list, text};
use super::read::Node;
use super::{EgressSettings, ProxySettings, ProxyUrl};

// `schemas/agent-config.json` has the same; a test holds the two together.
pub(super) const EGRESS_KEYS: &[&str] = &["proxy", "no_proxy", "ca_files", "wait", "per_host"];

/// Below a second, every limit would be the integration's to wait for; beyond a day no budget lasts.
const WAIT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const PER_HOST: RangeInclusive<u64> = 1..=1_000;

/// Lifts the section.
pub(super) fn lift(node: &Node, path: &str, place: &Paths<'_>, faults: &mut Faults) -> Option<EgressSettings> {
    let section = Section::open(node, path, EGRESS_KEYS, faults)?;
    let mut settings = EgressSettings::default();
    if let Some((node, path)) = section.get("wait") {
        settings.wait_max = duration(node, &path, WAIT, faults).unwrap_or(settings.wait_max);
    }
    if let Some((node, path)) = section.get("per_host") {
        let number = integer(node, &path, PER_HOST, faults);
        settings.per_host_max = number.and_then(|n| usize::try_from(n).ok()).unwrap_or(settings.per_host_max);
    }
    if let Some((node, path)) = section.get("ca_files") {
        settings.ca_files = texts(node, &path, faults, |node, path, faults| place.path(node, path, faults));
    }
    let no_proxy = match section.get("no_proxy") {
        Some((node, path)) => texts(node, &path, faults, entry),
        None => Vec::new(),
    };
    if let Some((node, path)) = section.get("proxy") {
        settings.proxy = proxy(node, &path, faults).map(|url| ProxySettings { url, no_proxy });
    } else if let Some((node, path)) = section.get("no_proxy") {
        faults.add(node.at, &path, "there is no proxy that it could except from", "give `proxy` too, or remove it");
    }
    Some(settings)
}

fn texts<T>(
    node: &Node,
    path: &str,
    faults: &mut Faults,
    mut one: impl FnMut(&Node, &str, &mut Faults) -> Option<T>,
) -> Vec<T> {
    let items = list(node, path, faults).unwrap_or_default();
    items.iter().enumerate().filter_map(|(index, item)| one(item, &format!("{path}[{index}]"), faults)).collect()
}

/// One exception. A comma would make two of it, one of which nobody has read.
fn entry(node: &Node, path: &str, faults: &mut Faults) -> Option<String> {
    let value = text(node, path, faults)?.trim();
    if value.is_empty() || value.contains([',', '/', ' ']) && !is_network(value) || value.contains("://") {
        let mend = "write a name (`example.com`, which stands for all below it too), an address, a network, or `*`";
        faults.add(node.at, path, "it is not an exception from the proxy", mend);
        return None;
    }
    Some(value.to_owned())
}

fn is_network(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        address.parse::<std::net::IpAddr>().is_ok_and(|address| {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            length.parse::<u8>().is_ok_and(|length| length <= bits)
        })
    })
}

/// The proxy. Its text is never repeated: it may hold a password.
fn proxy(node: &Node, path: &str, faults: &mut Faults) -> Option<ProxyUrl> {
    let value = text(node, path, faults)?;
    let url = Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let bare = url.as_ref().is_some_and(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none());
    if !bare {
        let mend = "write it as http://host:port, with user:password@ before the host if it wants them";
        faults.add(node.at, path, "it is not the URL of an HTTP proxy", mend);
        return None;
    }
    Some(ProxyUrl::new(value.to_owned()))
}
