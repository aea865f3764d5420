//! A browser, and what a person does with it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use thirtyfour::prelude::*;

use crate::host::{Host, until};

/// A driver of browsers, which ends with this.
struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    fn start() -> Self {
        let started = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let mut process = started.unwrap_or_else(|error| {
            panic!("the Runtime Centre is tried in a real browser: install chromium and chromium-driver ({error})")
        });
        let said = BufReader::new(process.stdout.take().unwrap());
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let url = format!("http://127.0.0.1:{}", port.expect("the driver says where it listens"));
        Self { process, url }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            // It may be gone already.
            let _gone = kill_process_group(group, Signal::KILL);
        }
        drop(self.process.wait());
    }
}

/// A page in a browser of its own.
pub(crate) struct Page {
    pub(crate) web: WebDriver,
    address: String,
}

/// Tells a story of a host and a browser, and ends both whatever comes of it. The browser's log is clean afterwards, but for what the story
/// says that it expects.
pub(crate) async fn told(expected: &'static [&'static str], story: impl AsyncFnOnce(&mut Host, &Page)) {
    let mut host = Host::start().await;
    let driver = Driver::start();
    let page = Page::open(&driver, &host.address).await;
    let caught = Caught(std::pin::pin!(story(&mut host, &page))).await;
    let log = page.log().await;
    if caught.is_err() {
        let text = page.value("return document.body.innerText").await;
        println!("the page shows:\n{}\nits log:\n{log:#?}", text.as_str().unwrap_or_default());
    }
    drop(page.web.quit().await);
    drop(driver);
    host.end().await;
    if let Err(panic) = caught {
        std::panic::resume_unwind(panic);
    }
    let unexpected: Vec<_> =
        log.iter().filter(|line| !expected.iter().any(|known| line.contains(known))).collect();
    assert!(unexpected.is_empty(), "the browser complains: {unexpected:#?}");
}

/// A future whose panic is a value.
struct Caught<F>(F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = std::thread::Result<F::Output>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let story = std::pin::Pin::new(&mut self.0);
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story.poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    }
}

impl Page {
    async fn open(driver: &Driver, address: &str) -> Self {
        let mut wanted = DesiredCapabilities::chrome();
        for argument in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] {
            wanted.add_arg(argument).unwrap();
        }
        wanted.set("goog:loggingPrefs", json!({ "browser": "ALL" })).unwrap();
        let web = WebDriver::new(&driver.url, wanted).await.unwrap();
        // A test may end the page's own beat, to see what it does because it was told.
        let kept = "const own = setInterval; window.setInterval = (...of) => (window.beat = own(...of));";
        let kept = json!({ "source": kept });
        web.cdp().send_raw("Page.addScriptToEvaluateOnNewDocument", kept).await.unwrap();
        let page = Self { web, address: address.to_owned() };
        page.is_wide(1_200).await;
        page
    }

    /// Opens the Centre.
    pub(crate) async fn goes_to(&self, place: &str) {
        self.web.goto(format!("{}/centre{place}", self.address)).await.unwrap();
    }

    /// Opens the Centre and signs in.
    pub(crate) async fn signs_in(&self, badge: &str) {
        self.goes_to("").await;
        self.shows_token(badge).await;
        self.sees("#live", "live").await;
    }

    /// Answers the question who they are.
    pub(crate) async fn shows_token(&self, badge: &str) {
        self.sees("#sign-in[open]", "Sign in").await;
        self.types("#token", badge).await;
        self.presses("#sign-in button[type=submit]").await;
    }

    /// The width of the window, in CSS pixels.
    pub(crate) async fn is_wide(&self, width: u32) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.web.cdp().send_raw("Emulation.setDeviceMetricsOverride", metrics).await.unwrap();
    }

    /// Nothing is beside a window of this width.
    pub(crate) async fn fits(&self, width: u32) {
        self.is_wide(width).await;
        let wide = self.value("return document.documentElement.scrollWidth").await;
        assert!(wide.as_u64().unwrap() <= width.into(), "what is shown is {wide} wide on {width}");
    }

    /// What the person prefers, as their system says it.
    pub(crate) async fn prefers(&self, features: &[(&str, &str)]) {
        let features: Vec<_> =
            features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let media = json!({ "media": "", "features": features });
        self.web.cdp().send_raw("Emulation.setEmulatedMedia", media).await.unwrap();
    }

    /// What a script comes to.
    pub(crate) async fn value(&self, script: &str) -> Value {
        self.web.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// What the first element says that a person sees; nothing where there is none.
    pub(crate) async fn text(&self, selector: &str) -> Option<String> {
        let asked = vec![json!(selector)];
        let script = "const it = document.querySelector(arguments[0]); return it && it.checkVisibility() ? it.innerText : null";
        self.web.execute(script, asked).await.unwrap().json().as_str().map(str::to_owned)
    }

    /// Waits until it is said there.
    pub(crate) async fn sees(&self, selector: &str, text: &str) {
        until(&format!("{selector} says `{text}`"), async || {
            self.text(selector).await.filter(|said| said.contains(text)).map(drop)
        })
        .await;
    }

    /// Waits until it is there and that is said no more.
    pub(crate) async fn sees_without(&self, selector: &str, text: &str) {
        until(&format!("{selector} says `{text}` no more"), async || {
            self.text(selector).await.filter(|said| !said.contains(text)).map(drop)
        })
        .await;
    }

    /// Waits until there is no such thing.
    pub(crate) async fn sees_no(&self, selector: &str) {
        until(&format!("no {selector} is there"), async || self.text(selector).await.is_none().then_some(()))
            .await;
    }

    /// Clicks, once it can be.
    pub(crate) async fn presses(&self, selector: &str) {
        until(&format!("{selector} can be pressed"), async || {
            let found = self.web.find(By::Css(selector)).await.ok()?;
            found.click().await.ok()
        })
        .await;
    }

    pub(crate) async fn types(&self, selector: &str, text: &str) {
        let found = self.web.find(By::Css(selector)).await.unwrap();
        found.send_keys(text).await.unwrap();
    }

    /// What the browser has to complain of since the last time that it was asked, but that nobody has signed in yet.
    async fn log(&self) -> Vec<String> {
        let entries = self.web.browser_log().await.unwrap();
        let said = entries.into_iter().map(|entry| format!("{}: {}", entry.level, entry.message));
        said.filter(|line| !line.contains("401 (Unauthorized)")).collect()
    }

    /// Keeps a picture, where the environment says in which folder.
    pub(crate) async fn pictured(&self, name: &str) {
        if let Ok(folder) = std::env::var("RUNTIME_CENTRE_PICTURES") {
            let picture = self.web.screenshot_as_png().await.unwrap();
            std::fs::write(format!("{folder}/{name}.png"), picture).unwrap();
        }
    }

    /// Waits for a short time, in which nothing is to happen.
    pub(crate) async fn stays(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..10 {
            beat.tick().await;
            assert!(is_so().await, "{what}");
        }
    }
}
