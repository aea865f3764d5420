//! The program of `docs/tutorial.md`: a release, then a canary that fails under load and goes back by itself.
//!
//! ```text
//! cargo run --example tutorial
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use factory_runtime::manifest;
use factory_runtime::prelude::*;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    if std::env::args().any(|argument| argument == "serve") {
        return serve();
    }
    let folder = tempfile::tempdir()?;
    let embedded = Embedded::open(&folder).await?;
    let runtime = embedded.runtime();
    let running = runtime.start();
    let ann = runtime.authenticated("ten_00000000000000000000000000000001".parse()?, Actor::new("ann")?);

    pack(&embedded, "1.0.0", "no").await?;
    pack(&embedded, "2.0.0", "yes").await?;

    let project = "prj_00000000000000000000000000000001".parse()?;
    let wanted = NewEnvironment::new(project, "dev".parse()?, EnvironmentStage::Dev, "local".parse()?);
    let dev = runtime.environments().provision(&ann, wanted).await?.aggregate.id();
    runtime.environments().until_provisioned(&ann, dev, Span::from_secs(60)).await?;

    let first = deploy(runtime, &ann, dev, &release("1.0.0", "rolling-health-gated: {}")).await?;
    println!("1.0.0 is {}", first.status().name());

    let endpoint = embedded.endpoint(&ann, dev, &"shop".parse()?).await?.ok_or("no endpoint")?;
    let load = tokio::task::spawn_blocking(move || send(&endpoint, 600));

    let canary = "canary: { steps: [{ weight: 20, hold: { for: 5s } }], bake: 5s }";
    let second = deploy(runtime, &ann, dev, &release("2.0.0", canary)).await?;
    println!("2.0.0 is {}", second.status().name());
    for entry in runtime.deployments().history(&ann, second.id(), 0, 1_000).await? {
        println!("  {} {}: {}", entry.sequence, entry.event, entry.explanation);
    }
    println!("{} of 600 requests were not answered well", load.await??);

    runtime.environments().decommission(&ann, dev, "the tutorial is over".to_owned()).await?;
    while runtime.environments().environment(&ann, dev).await?.decommissioned_at().is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.stop().await;
    embedded.close().await;
    Ok(())
}

/// Asks for a release, and waits for its end.
async fn deploy(
    runtime: &Runtime,
    scope: &TenantScope,
    environment: EnvironmentId,
    yaml: &str,
) -> Result<RuntimeDeployment, Failure> {
    let release = runtime.deployments().resolve(&manifest::parse(yaml)?).await?;
    let asked = runtime.deployments().request(scope, environment, release).await?.aggregate.id();
    Ok(runtime.deployments().until_ended(scope, asked, Span::from_secs(120)).await?)
}

/// A release of the shop, judged by the errors of whatever traffic it is given.
fn release(version: &str, strategy: &str) -> String {
    format!(
        "
release: shop-{version}
strategy: {{ {strategy} }}
components:
  shop:
    image: demo/shop:{version}
    version: {version}
    replicas: 2
    readiness: {{ path: /ready, period: 250ms }}
gates:
  errors:
    at: during-traffic
    check:
      metric:
        metric: error-rate
        bound: {{ at-most: \"0.05\" }}
        min_samples: 20
        interval: 500ms
        successes: 2
        failure_limit: 1
"
    )
}

/// Packs this program as an image; one that is broken is ready, and fails every request.
async fn pack(embedded: &Embedded, version: &str, broken: &str) -> Result<(), Failure> {
    let image = ImageSource::new(format!("demo/shop:{version}").parse()?, ["/shop", "serve"])
        .executable("/shop", std::env::current_exe()?)
        .variable("BROKEN", broken);
    embedded.registry().pack(&image).await?;
    Ok(())
}

/// The workload: it answers on the port that the surface gives it.
fn serve() -> Result<(), Failure> {
    let is_broken = std::env::var("BROKEN")? == "yes";
    let listener = TcpListener::bind(("127.0.0.1", std::env::var("PORT")?.parse()?))?;
    for mut client in listener.incoming().flatten() {
        let mut request = [0; 2048];
        let length = client.read(&mut request)?;
        let is_probe = request[..length].starts_with(b"GET /ready");
        let status = if is_broken && !is_probe { "500 Internal Server Error" } else { "200 OK" };
        write!(client, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    }
    Ok(())
}

/// Sends requests, about a hundred a second, and counts those that were not answered with 200.
fn send(endpoint: &str, requests: u32) -> std::io::Result<u32> {
    let mut failed = 0;
    for _ in 0..requests {
        let mut client = TcpStream::connect(endpoint.trim_start_matches("http://"))?;
        client.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        client.read_to_string(&mut answer)?;
        failed += u32::from(!answer.starts_with("HTTP/1.1 200"));
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Ok(failed)
}
