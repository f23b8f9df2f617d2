//! What `bindgen!` generates from `wit/`, for `sandbox` and `hostcalls` alike, and the only place of it. Nothing here is
//! written by hand; what a call checks and does is in `hostcalls`.

wasmtime::component::bindgen!({
    world: "agent-integration",
    path: "../../wit",
    imports: {
        // These answer at once and never wait: no future is built for them.
        "agent:integration/log": trappable,
        "agent:integration/http.submit": trappable,
        "agent:integration/http.[drop]pending": trappable,
        "agent:integration/session.[method]session.last-processed": trappable,
        "agent:integration/session.[method]session.progress": trappable,
        "agent:integration/session.[method]session.should-stop": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    with: {
        "agent:integration/session.session": crate::export::SessionId,
        "agent:integration/http.pending": crate::hostcalls::PendingEntry,
    },
    additional_derives: [PartialEq],
});
