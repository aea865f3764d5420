//! A host's panic, kept instead of printed: a worker survives one, so that nothing else would tell.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static KEPT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// What `run` returns, and what panicked on this thread meanwhile. Other threads' panics are printed as ever.
pub(crate) fn kept<T>(run: impl FnOnce() -> T) -> (T, Vec<String>) {
    HOOK.call_once(|| {
        let printed = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_kept = KEPT.with_borrow_mut(|kept| match kept {
                Some(kept) => {
                    kept.push(info.to_string());
                    true
                }
                None => false,
            });
            if !is_kept {
                printed(info);
            }
        }));
    });
    KEPT.set(Some(Vec::new()));
    let result = run();
    (result, KEPT.take().unwrap_or_default())
}
