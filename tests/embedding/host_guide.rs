//! The tutorial of the host, followed as it is written.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::configuration::Configuration;
use crate::examples::{left_running, program, text};
use crate::source::root;

/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(300);

fn page() -> String {
    std::fs::read_to_string(root().join("docs/host.md")).unwrap()
}

/// The blocks of a language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_hosts_tutorial_is_followed_from_its_first_line_to_its_last() {
    let page = page();
    let script = blocks(&page, "sh").join("\n");
    // The page has the port that people have; nobody else has this one.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let script = script.replace("8080", &port);
    let folder = tempfile::tempdir().unwrap();
    let examples = program("host").parent().unwrap().to_owned();
    let path = format!("{}:{}", examples.display(), std::env::var("PATH").unwrap());
    let log = folder.path().join("told");
    let output = std::fs::File::create(&log).unwrap();
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!("set -eu\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{script}"))
        .current_dir(folder.path())
        .env("PATH", path)
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    let (mut following, begun) = (command.spawn().unwrap(), Instant::now());
    let ended = loop {
        if let Some(ended) = following.try_wait().unwrap() {
            break Some(ended);
        }
        if begun.elapsed() > PATIENCE {
            following.kill().unwrap();
            following.wait().unwrap();
            break None;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    };
    let told = text(&std::fs::read(&log).unwrap());
    let is_well = ended.is_some_and(|ended| ended.success());
    if !is_well && folder.path().join("state/workloads").exists() {
        left_running(&folder.path().join("state"));
    }
    assert!(is_well, "{ended:?}: {told}");
    for said in [
        "INSECURE",
        "\"dryRun\":true",
        "\"status\":\"completed\"",
        "ENV-2",
        "<title>",
        "stopping: ",
        "as they were written",
        "\"status\":401",
    ] {
        assert!(told.contains(said), "{said} is not told: {told}");
    }
}

#[test]
fn the_settings_of_the_hosts_tutorial_are_settings() {
    let page = page();
    let folder = tempfile::tempdir().unwrap();
    let settings = blocks(&page, "toml");
    assert!(!settings.is_empty(), "there are settings");
    for block in settings {
        let file = folder.path().join("host.toml");
        std::fs::write(&file, block).unwrap();
        let read = Configuration::read(Some(&file), std::iter::empty()).unwrap();
        assert!(read.tls.is_some() && !read.issuers.is_empty(), "{read:?}");
    }
    let [scraped] = blocks(&page, "yaml").try_into().unwrap();
    let scraped: serde_json::Value = serde_saphyr::from_str(&scraped).unwrap();
    assert_eq!(scraped["scrape_configs"][0]["static_configs"][0]["targets"][0], "127.0.0.1:8080");
}

#[test]
fn the_hosts_tutorial_builds_what_it_uses() {
    let [built] = blocks(&page(), "console").try_into().unwrap();
    assert!(built.contains("--example host --example audit"), "{built}");
}
