//! Panics as values: a harness that looks for panics does not print each of them.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// The first panic on this thread since it began to listen.
    static HEARD: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

/// Runs `work`; the message and place of its panic, if it panics.
pub fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !heard(info) {
                before(info);
            }
        }));
    });
    HEARD.set(Some(None));
    let result = catch_unwind(AssertUnwindSafe(work));
    let message = HEARD.take().flatten();
    result.map_err(|_| message.unwrap_or_else(|| "a panic without a message".into()))
}

/// Keeps the message if this thread listens.
fn heard(info: &PanicHookInfo<'_>) -> bool {
    HEARD.with_borrow_mut(|heard| match heard {
        None => false,
        Some(Some(_)) => true,
        Some(first) => {
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("?");
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            *first = Some(format!("{text} ({place})"));
            true
        }
    })
}
