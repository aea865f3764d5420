//! What every program does that serves until it is told to stop.

use std::error::Error;

/// What a process ends with that was told a second time.
const CUT_SHORT: i32 = 130;

/// Ready once somebody wants the process to end. Whoever says it again does not want to wait: the process ends at once. What was in flight is as
/// after a crash, which the next host takes up.
pub fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut told = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(async move {
        told().await;
        tokio::spawn(async move {
            told().await;
            std::process::exit(CUT_SHORT);
        });
    })
}

/// An error with its causes.
pub fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!("\n  because: {inner}"));
        cause = inner.source();
    }
    text
}
