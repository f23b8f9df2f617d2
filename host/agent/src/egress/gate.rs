//! Whose request goes out next, and when: the budgets that servers give (`rates` reads them), so many requests to one host at
//! a time, and a fair share of both for each integration.
//!
//! **Budgets** belong to a host and an account on it, the credential that a request carries; integrations that use the same
//! credential share one. A server may have several for an account (GitHub's `core`, `search`, `graphql`); which of them a
//! path takes from is learned from answers. A budget is known only as of its last answer, so requests under way are counted
//! as spent. When it is short, low classes wait first: each leaves a part of it to those above (`Class::leaves`).
//!
//! **Order.** Of the requests that could go, the one of the highest class goes, then of the integration that has been served
//! least, then the oldest. A request holds its place while it is on the wire and at no other time, so that nobody waits for
//! what only he himself could free. Of an answer that is read as it comes, a repository's pack, only the head counts: it may
//! take hours, and nobody is to wait for that.
//!
//! **Waiting** ends with the time, with the asked-for end of everything, or with the future. What would wait longer than it
//! may is told at once until when.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use tokio::sync::{Notify, oneshot};

use super::clock::Clock;
use super::pauses::{News, Pause, Pauses};
use super::rates::Told;
use super::{Caller, Class, EgressError};
use crate::shutdown::Shutdown;

/// Accounts whose budgets are kept; an agent has some tens.
const ACCOUNTS_MAX: usize = 1024;
/// Budgets of one account. GitHub has about a dozen.
const BUDGETS_MAX: usize = 32;
/// A wait that is shorter is not worth a line in the log.
const PAUSE_TOLD_MIN: Duration = Duration::from_secs(2);

/// Seeded anew in each process, as the standard library's is, and quicker on short texts.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A place of requests: a host, and the account on it that they use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Account {
    /// `https://api.github.com:443`
    pub host: Arc<str>,
    /// What tells credentials apart, and is none; empty without one.
    pub who: Arc<str>,
}

/// What of a server's budgets a path is likely to take from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    GraphQl,
    SearchCode,
    Search,
    Other,
}

impl Kind {
    pub(super) fn of(path: &str) -> Kind {
        let mut segments = path.split('/');
        if path.trim_end_matches('/').ends_with("/graphql") {
            Kind::GraphQl
        } else if segments.any(|segment| segment == "search") {
            if segments.next() == Some("code") { Kind::SearchCode } else { Kind::Search }
        } else {
            Kind::Other
        }
    }
}

/// One server's account.
#[derive(Debug, Default)]
struct Budgets {
    /// By the server's name of it.
    by_resource: Map<String, Budget>,
    /// Which one a kind of path took from.
    of_kind: Map<Kind, String>,
    /// Nothing goes before this: the server has said so.
    blocked: Option<Instant>,
    used: u64,
}

#[derive(Debug, Default)]
struct Budget {
    limit: Option<u64>,
    remaining: Option<u64>,
    resets: Option<Instant>,
    under_way: u64,
}

/// When a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    Now,
    At(Instant),
    /// What is left is spoken for by requests under way; their answers will say more.
    WhenAnswered,
}

impl Budget {
    fn ready(&self, class: Class, now: Instant) -> Ready {
        let (Some(remaining), Some(resets)) = (self.remaining, self.resets) else { return Ready::Now };
        if resets <= now {
            return Ready::Now;
        }
        let left_to_others = class.leaves(self.limit.unwrap_or(0));
        if remaining <= left_to_others {
            Ready::At(resets)
        } else if remaining - left_to_others <= self.under_way {
            Ready::WhenAnswered
        } else {
            Ready::Now
        }
    }

    fn learn(&mut self, told: &Told, now: Instant) {
        let resets = told.resets_in.map(|after| now + after);
        // Answers overtake each other; within one period a budget only shrinks.
        let same_period = match (self.resets, resets) {
            (Some(known), Some(new)) => known > now && new <= known + Duration::from_secs(2),
            _ => false,
        };
        self.remaining = match (self.remaining, told.remaining) {
            (Some(known), Some(new)) if same_period => Some(known.min(new)),
            (known, new) => new.or(known),
        };
        self.limit = told.limit.or(self.limit);
        self.resets = if same_period { self.resets.max(resets) } else { resets.or(self.resets) };
    }
}

impl Budgets {
    fn resource(&self, kind: Kind) -> &str {
        self.of_kind.get(&kind).map_or("", String::as_str)
    }

    fn ready(&self, kind: Kind, class: Class, now: Instant) -> Ready {
        let own = self.by_resource.get(self.resource(kind)).map_or(Ready::Now, |budget| budget.ready(class, now));
        match (self.blocked.filter(|until| *until > now), own) {
            (Some(until), Ready::At(reset)) => Ready::At(until.max(reset)),
            (Some(until), _) => Ready::At(until),
            (None, own) => own,
        }
    }

    fn budget(&mut self, resource: &str) -> Option<&mut Budget> {
        if self.by_resource.len() >= BUDGETS_MAX && !self.by_resource.contains_key(resource) {
            return None;
        }
        Some(self.by_resource.entry(resource.to_owned()).or_default())
    }
}

/// One host: who is on the wire, and who waits.
#[derive(Default)]
struct Host {
    under_way: usize,
    /// Requests that went out, by integration, since the host was idle.
    served: Map<Arc<str>, u64>,
    waiting: Vec<Waiter>,
}

struct Waiter {
    number: u64,
    caller: Caller,
    account: Account,
    kind: Kind,
    tell: oneshot::Sender<Pass>,
}

#[derive(Default)]
struct State {
    numbers: u64,
    hosts: Map<Arc<str>, Host>,
    accounts: Map<Account, Budgets>,
    pauses: Pauses,
}

/// The gate of one [`super::Egress`]. Clones share it.
#[derive(Clone)]
pub(super) struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    stop: Shutdown,
    per_host_max: usize,
    wait_max: Duration,
    state: Mutex<State>,
    /// Told when a server says that its budget is short or spent: those that wait for a place look how long that is.
    changed: Notify,
    pauses_changed: News,
    /// Whether there has been a pause, which an answer may end.
    paused: AtomicBool,
}

/// Leave to be on the wire. Given back when it is dropped.
pub(super) struct Pass {
    shared: Arc<Shared>,
    account: Account,
    kind: Kind,
    /// The budget that it was taken from.
    resource: String,
}

impl Gate {
    pub(super) fn new(clock: Clock, stop: Shutdown, per_host_max: usize, wait_max: Duration) -> Gate {
        let per_host_max = per_host_max.max(1);
        let (changed, pauses_changed) = (Notify::new(), News::default());
        let (state, paused) = (Mutex::default(), AtomicBool::new(false));
        let shared = Shared { clock, stop, per_host_max, wait_max, state, changed, pauses_changed, paused };
        Gate { shared: Arc::new(shared) }
    }

    /// The pauses so far, oldest first, and how many more there were.
    pub(super) fn pauses(&self) -> (Vec<Pause>, u64) {
        self.shared.lock().pauses.list()
    }

    /// Waits until pauses have begun, changed or ended since the last wait. For one listener.
    pub(super) async fn pauses_change(&self) {
        self.shared.pauses_changed.wait().await;
    }

    /// Waits for leave to go. Dropping the future gives the place up.
    pub(super) async fn enter(&self, caller: &Caller, account: &Account, kind: Kind) -> Result<Pass, EgressError> {
        if let Some(pass) = self.shared.at_once(caller, account, kind) {
            return Ok(pass);
        }
        let (tell, mut told) = oneshot::channel();
        let number = self.shared.queue(caller, account, kind, tell);
        let _leaving = Leaving { shared: &self.shared, host: &account.host, number };
        loop {
            // Before the look, so that nothing that is said after it is missed.
            let changed = self.shared.changed.notified();
            self.shared.dispatch(&account.host);
            if let Ok(pass) = told.try_recv() {
                return Ok(pass);
            }
            let (now, ready) = (self.shared.clock.now(), self.shared.ready(caller, account, kind));
            let until = match ready {
                Ready::At(until) => {
                    self.shared.pause(caller, account, kind, until);
                    if until.saturating_duration_since(now) > self.shared.wait_max || self.shared.stop.requested() {
                        return Err(self.shared.limited(until));
                    }
                    Some(until)
                }
                // Others are on the wire, and what they give back wakes this one.
                Ready::Now | Ready::WhenAnswered => None,
            };
            let time = async {
                match until {
                    Some(until) => self.shared.clock.sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                pass = &mut told => {
                    // The sender lies in the queue until it is used.
                    return pass.map_err(|_| EgressError::Other("the request lost its place; this is a fault of the agent".to_owned()));
                }
                () = self.shared.stop.wait(), if until.is_some() => {}
                () = changed => {}
                () = time => {}
            }
        }
    }

    /// Waits before the next try of a request. Says whether there may be one: not where that takes longer than anybody may
    /// wait, nor when the end of everything is asked for.
    pub(super) async fn wait(&self, duration: Duration) -> bool {
        if duration > self.shared.wait_max || self.shared.stop.requested() {
            return false;
        }
        let until = self.shared.clock.now() + duration;
        tokio::select! {
            biased;
            () = self.shared.clock.sleep_until(until) => true,
            () = self.shared.stop.wait() => false,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limited(&self, until: Instant) -> EgressError {
        EgressError::RateLimited(rfc3339(self.clock.wall_at(until)))
    }

    fn queue(&self, caller: &Caller, account: &Account, kind: Kind, tell: oneshot::Sender<Pass>) -> u64 {
        let mut state = self.lock();
        state.numbers += 1;
        let number = state.numbers;
        let waiter = Waiter { number, caller: caller.clone(), account: account.clone(), kind, tell };
        state.hosts.entry(account.host.clone()).or_default().waiting.push(waiter);
        number
    }

    /// Leave for one before whom nobody waits, and that has nothing to wait for.
    fn at_once(self: &Arc<Self>, caller: &Caller, account: &Account, kind: Kind) -> Option<Pass> {
        let now = self.clock.now();
        let mut state = self.lock();
        let free = |host: &Host| host.waiting.is_empty() && host.under_way < self.per_host_max;
        let ready = |budgets: &Budgets| budgets.ready(kind, caller.class, now) == Ready::Now;
        if !state.hosts.get(&account.host).is_none_or(free) || !state.accounts.get(account).is_none_or(ready) {
            return None;
        }
        state.numbers += 1;
        let resource = state.goes(caller, account, kind);
        drop(state);
        Some(self.pass((account.clone(), kind), resource))
    }

    fn ready(&self, caller: &Caller, account: &Account, kind: Kind) -> Ready {
        let now = self.clock.now();
        self.lock().accounts.get(account).map_or(Ready::Now, |budgets| budgets.ready(kind, caller.class, now))
    }

    /// Lets those go that may.
    fn dispatch(self: &Arc<Self>, host: &str) {
        let mut given = Vec::new();
        let mut state = self.lock();
        while let Some(one) = state.next(host, self.per_host_max, self.clock.now()) {
            given.push((one.1, self.pass(one.0, one.2)));
        }
        drop(state);
        // One whose future is gone leaves its pass here, which is given back when it is dropped.
        let lost: Vec<_> = given.into_iter().filter_map(|(tell, pass)| tell.send(pass).err()).collect();
        drop(lost);
    }

    fn pass(self: &Arc<Self>, of: (Account, Kind), resource: String) -> Pass {
        Pass { shared: Arc::clone(self), account: of.0, kind: of.1, resource }
    }

    /// Notes that requests wait, and says so where that is news.
    fn pause(&self, caller: &Caller, account: &Account, kind: Kind, until: Instant) {
        if until.saturating_duration_since(self.clock.now()) < PAUSE_TOLD_MIN {
            return;
        }
        let until = self.clock.wall_at(until);
        let mut state = self.lock();
        let resource = state.accounts.get(account).map_or("", |budgets| budgets.resource(kind)).to_owned();
        let (integration, host) = (&*caller.integration, &*account.host);
        let news = state.pauses.note(host, &resource, until, integration);
        self.paused.store(true, Ordering::SeqCst);
        drop(state);
        if !news {
            return;
        }
        self.pauses_changed.tell();
        let until = rfc3339(until);
        tracing::info!(integration, host, resource, until, "the server's budget is spent: requests wait for it");
    }
}

impl State {
    /// Takes the one that goes next out of its queue.
    #[allow(clippy::type_complexity, reason = "the three parts of a pass, which cannot be made under the lock")]
    fn next(
        &mut self,
        host: &str,
        per_host_max: usize,
        now: Instant,
    ) -> Option<((Account, Kind), oneshot::Sender<Pass>, String)> {
        let place = self.hosts.get_mut(host)?;
        if place.under_way >= per_host_max {
            return None;
        }
        let could = |waiter: &&Waiter| {
            let budgets = self.accounts.get(&waiter.account);
            budgets.is_none_or(|budgets| budgets.ready(waiter.kind, waiter.caller.class, now) == Ready::Now)
        };
        let order = |waiter: &&Waiter| {
            let served = place.served.get(&waiter.caller.integration).copied().unwrap_or(0);
            (waiter.caller.class, served, waiter.number)
        };
        let number = place.waiting.iter().filter(could).min_by_key(order)?.number;
        let at = place.waiting.iter().position(|waiter| waiter.number == number)?;
        let waiter = place.waiting.remove(at);
        let resource = self.goes(&waiter.caller, &waiter.account, waiter.kind);
        Some(((waiter.account, waiter.kind), waiter.tell, resource))
    }

    /// One goes out; gives the budget that it takes from.
    fn goes(&mut self, caller: &Caller, account: &Account, kind: Kind) -> String {
        let place = self.hosts.entry(Arc::clone(&account.host)).or_default();
        place.under_way += 1;
        // One that comes anew is placed beside the one that had least, and cannot have saved up.
        let least = place.served.values().copied().min().unwrap_or(0);
        *place.served.entry(Arc::clone(&caller.integration)).or_insert(least) += 1;
        let numbers = self.numbers;
        let budgets = self.account(account);
        budgets.used = numbers;
        let resource = budgets.resource(kind).to_owned();
        if let Some(budget) = budgets.budget(&resource) {
            budget.under_way += 1;
        }
        resource
    }

    /// The budgets of an account; where there are too many, those go that have been used least lately.
    fn account(&mut self, account: &Account) -> &mut Budgets {
        if self.accounts.len() >= ACCOUNTS_MAX && !self.accounts.contains_key(account) {
            let idle = |budgets: &Budgets| budgets.by_resource.values().all(|budget| budget.under_way == 0);
            let oldest = self.accounts.iter().filter(|(_, budgets)| idle(budgets)).min_by_key(|(_, b)| b.used);
            if let Some(oldest) = oldest.map(|(account, _)| account.clone()) {
                self.accounts.remove(&oldest);
            }
        }
        self.accounts.entry(account.clone()).or_default()
    }
}

impl Pass {
    /// Takes in what an answer says: its budget, and how long nothing may follow it.
    pub(super) fn answered(&self, told: Option<&Told>, blocked_for: Option<Duration>) {
        // Most servers say nothing, and where nobody has waited nothing ends.
        if told.is_none() && blocked_for.is_none() && !self.shared.paused.load(Ordering::SeqCst) {
            return;
        }
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let budgets = state.account(&self.account);
        if let Some(told) = told {
            budgets.of_kind.insert(self.kind, told.resource.clone());
            if let Some(budget) = budgets.budget(&told.resource) {
                budget.learn(told, now);
                if budget.ready(Class::Backfill, now) != Ready::Now {
                    self.shared.changed.notify_waiters();
                }
            }
        }
        if let Some(duration) = blocked_for {
            budgets.blocked = budgets.blocked.max(Some(now + duration));
            self.shared.changed.notify_waiters();
            return;
        }
        // While the lowest class still waits, the pause is not over.
        if budgets.ready(self.kind, Class::Backfill, now) != Ready::Now {
            return;
        }
        let ended = state.pauses.end(&self.account.host, &self.resource, self.shared.clock.wall());
        drop(state);
        if let Some(pause) = ended {
            self.shared.pauses_changed.tell();
            let (host, resource) = (pause.host, pause.resource);
            let integrations = pause.integrations.join(", ");
            tracing::info!(host, resource, integrations, "the server answers again: requests go on");
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(budget) = state.accounts.get_mut(&self.account).and_then(|b| b.by_resource.get_mut(&self.resource))
        {
            budget.under_way = budget.under_way.saturating_sub(1);
        }
        let mut awaited = false;
        if let Some(host) = state.hosts.get_mut(&self.account.host) {
            host.under_way = host.under_way.saturating_sub(1);
            awaited = !host.waiting.is_empty();
            if host.under_way == 0 && !awaited {
                state.hosts.remove(&self.account.host);
            }
        }
        drop(state);
        if awaited {
            self.shared.dispatch(&self.account.host);
        }
    }
}

/// Takes a waiter out of the queue, however its future ends.
struct Leaving<'a> {
    shared: &'a Arc<Shared>,
    host: &'a str,
    number: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(host) = state.hosts.get_mut(self.host) {
            host.waiting.retain(|waiter| waiter.number != self.number);
            if host.under_way == 0 && host.waiting.is_empty() {
                state.hosts.remove(self.host);
            }
        }
    }
}

pub(super) fn rfc3339(moment: OffsetDateTime) -> String {
    let whole = moment.to_offset(UtcOffset::UTC).replace_nanosecond(0).unwrap_or(moment);
    // A year beyond 9999 is the only one that cannot be written.
    whole.format(&Rfc3339).unwrap_or_else(|_| "9999-12-31T23:59:59Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::clock::tests::TestClock;
    use super::*;

    fn gate(per_host_max: usize) -> Gate {
        let clock = Clock::Test(TestClock::by_step());
        Gate::new(clock, Shutdown::default(), per_host_max, Duration::from_secs(300))
    }

    fn caller(integration: &str, class: Class) -> Caller {
        Caller { integration: Arc::from(integration), class }
    }

    fn account(host: &str) -> Account {
        Account { host: Arc::from(host), who: Arc::from("") }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    /// Queues these behind one that is on the wire, and gives the order in which they go.
    async fn order(waiting: &[(&str, Class)]) -> Vec<String> {
        let gate = gate(1);
        let first = gate.enter(&caller("first", Class::Mutation), &account("h"), Kind::Other).await.unwrap();
        let (told, mut went) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = tokio::task::JoinSet::new();
        for (number, (integration, class)) in waiting.iter().enumerate() {
            let (waits_at, caller, told) = (gate.clone(), caller(integration, *class), told.clone());
            let name = format!("{integration}{number}");
            tasks.spawn(async move {
                let pass = waits_at.enter(&caller, &account("h"), Kind::Other).await.unwrap();
                told.send(name).unwrap();
                drop(pass);
            });
            // One after the other, so that they stand in this order.
            while gate.shared.lock().hosts["h"].waiting.len() <= number {
                tokio::task::yield_now().await;
            }
        }
        drop((first, told));
        let mut order = Vec::new();
        while let Some(name) = went.recv().await {
            order.push(name);
        }
        tasks.join_all().await;
        assert!(gate.shared.lock().hosts.is_empty(), "nothing is left behind");
        order
    }

    #[test]
    fn the_urgent_go_first_then_who_had_least_then_who_came_first() {
        use Class::{Backfill, Incremental, Mutation, Webhook};
        run(async {
            let classes = [("a", Backfill), ("b", Incremental), ("c", Webhook), ("d", Mutation), ("e", Incremental)];
            assert_eq!(order(&classes).await, ["d3", "c2", "b1", "e4", "a0"]);
            let greedy = [("a", Backfill), ("a", Backfill), ("a", Backfill), ("b", Backfill), ("c", Backfill)];
            assert_eq!(order(&greedy).await, ["a0", "b3", "c4", "a1", "a2"]);
        });
    }

    #[test]
    fn only_so_many_are_on_the_wire_to_one_host() {
        run(async {
            let gate = gate(2);
            let one = caller("one", Class::Incremental);
            let first = gate.enter(&one, &account("h"), Kind::Other).await.unwrap();
            let _second = gate.enter(&one, &account("h"), Kind::Other).await.unwrap();
            let other = account("other");
            assert!(gate.enter(&one, &other, Kind::Other).await.is_ok(), "another host has places of its own");
            let here = account("h");
            let mut third = std::pin::pin!(gate.enter(&one, &here, Kind::Other));
            assert!(futures_poll(third.as_mut()).await.is_none());
            drop(first);
            assert!(futures_poll(third.as_mut()).await.is_some());
        });
    }

    /// One look at a future.
    async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match future.as_mut().poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    #[test]
    fn a_place_is_given_up_by_who_goes_away() {
        run(async {
            let gate = gate(1);
            let (one, here) = (caller("one", Class::Incremental), account("h"));
            let first = gate.enter(&one, &here, Kind::Other).await.unwrap();
            {
                let mut gone = std::pin::pin!(gate.enter(&one, &here, Kind::Other));
                assert!(futures_poll(gone.as_mut()).await.is_none());
                // It is given the place, and goes away before it looks.
                drop(first);
            }
            assert!(gate.enter(&one, &here, Kind::Other).await.is_ok());
            assert!(gate.shared.lock().hosts.is_empty());
        });
    }

    /// One that waits for a place hears that the server wants to be left alone, and until when.
    #[test]
    fn who_waits_for_a_place_is_told_of_a_limit() {
        run(async {
            let gate = gate(1);
            let (one, here) = (caller("one", Class::Incremental), account("h"));
            let first = gate.enter(&one, &here, Kind::Other).await.unwrap();
            let mut second = std::pin::pin!(gate.enter(&one, &here, Kind::Other));
            assert!(futures_poll(second.as_mut()).await.is_none());
            first.answered(None, Some(Duration::from_secs(3600)));
            drop(first);
            assert!(matches!(second.await, Err(EgressError::RateLimited(_))));
        });
    }

    #[test]
    fn requests_under_way_count_as_spent() {
        run(async {
            let gate = gate(10);
            let (one, here) = (caller("one", Class::Mutation), account("h"));
            let told = |remaining| Told {
                resource: String::new(),
                limit: Some(100),
                remaining: Some(remaining),
                resets_in: Some(Duration::from_secs(60)),
            };
            gate.enter(&one, &here, Kind::Other).await.unwrap().answered(Some(&told(1)), None);
            let last = gate.enter(&one, &here, Kind::Other).await.unwrap();
            let mut beyond = std::pin::pin!(gate.enter(&one, &here, Kind::Other));
            assert!(futures_poll(beyond.as_mut()).await.is_none(), "the last one is spoken for");
            // It cost nothing, as its answer says.
            last.answered(Some(&told(1)), None);
            drop(last);
            assert!(futures_poll(beyond.as_mut()).await.is_some());
        });
    }

    #[test]
    fn answers_that_overtake_each_other_do_not_give_back_what_is_spent() {
        let (now, told) = (Instant::now(), |remaining, secs| Told {
            resource: String::new(),
            limit: Some(100),
            remaining: Some(remaining),
            resets_in: Some(Duration::from_secs(secs)),
        });
        let mut budget = Budget::default();
        budget.learn(&told(5, 60), now);
        budget.learn(&told(7, 60), now);
        assert_eq!(budget.remaining, Some(5));
        budget.learn(&told(99, 3600), now);
        assert_eq!(budget.remaining, Some(99), "a new period");
    }

    #[test]
    fn paths_are_told_apart_as_servers_do() {
        for (path, kind) in [
            ("/graphql", Kind::GraphQl),
            ("/api/graphql", Kind::GraphQl),
            ("/search/code", Kind::SearchCode),
            ("/api/v3/search/issues", Kind::Search),
            ("/rest/api/3/search", Kind::Search),
            ("/repos/search-engine/x", Kind::Other),
            ("/", Kind::Other),
        ] {
            assert_eq!(Kind::of(path), kind, "{path}");
        }
    }

    #[test]
    fn accounts_are_bounded() {
        let gate = gate(1);
        let mut state = gate.shared.lock();
        for number in 0..2 * ACCOUNTS_MAX {
            state.account(&account(&number.to_string()));
        }
        assert_eq!(state.accounts.len(), ACCOUNTS_MAX);
        for number in 0..2 * BUDGETS_MAX {
            state.account(&account("h")).budget(&number.to_string());
        }
        assert_eq!(state.accounts[&account("h")].by_resource.len(), BUDGETS_MAX);
    }
}
