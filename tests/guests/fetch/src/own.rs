//! Pages by the contract's own interface, through the SDK. What a page is, is `lib.rs`'s.

use agent_sdk::Result;
use agent_sdk::http::{HttpError, Pending, Request, Response, wait_any};

use crate::{Came, Config};

fn request(config: &Config, page: u32) -> Request {
    let mut request = Request::new(&config.method, config.url_of(page));
    if config.body > 0 {
        request = request.body(vec![b'x'; config.body]);
    }
    for (name, value) in &config.headers {
        request = request.header(name, value);
    }
    for (name, value) in &config.options {
        request = request.option(name, value);
    }
    request
}

fn came(answer: std::result::Result<Response, HttpError>) -> std::result::Result<Came, String> {
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    Ok(Came { status: answer.status, headers: answer.headers, body: answer.body })
}

pub fn fetch(
    config: &Config,
    keep: &mut impl FnMut(u32, std::result::Result<Came, String>) -> Result<()>,
) -> Result<()> {
    if config.at_once < 2 {
        for page in 0..config.pages {
            keep(page, came(request(config, page).send()))?;
        }
        return Ok(());
    }
    let mut next = 0;
    let mut under_way: Vec<(u32, Pending)> = Vec::new();
    loop {
        while next < config.pages && under_way.len() < config.at_once as usize {
            match request(config, next).submit() {
                Ok(pending) => under_way.push((next, pending)),
                Err(error) => keep(next, Err(format!("{error:?}")))?,
            }
            next += 1;
        }
        if under_way.is_empty() {
            return Ok(());
        }
        let handles: Vec<&Pending> = under_way.iter().map(|(_, pending)| pending).collect();
        // From the last, so that those before it keep their places.
        for index in wait_any(&handles, 600_000).into_iter().rev() {
            let (page, pending) = under_way.swap_remove(index);
            keep(page, came(pending.take()))?;
        }
    }
}
