//! The least that runs something: it deploys this very program on this machine, and prints its answer. `cargo run --example embed_minimal`
#![allow(clippy::print_stdout, reason = "an example talks to the person who runs it")]
use factory_runtime::{manifest, prelude::*};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
const RELEASE: &str = "{ release: hello-1, strategy: { rolling-health-gated: {} },
  components: { hello: { image: 'demo/hello:1.0.0', version: 1.0.0, readiness: { path: / } } } }";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().any(|argument| argument == "serve") {
        let listener = TcpListener::bind(format!("127.0.0.1:{}", std::env::var("PORT")?))?;
        for mut client in listener.incoming().flatten() {
            let _request = client.read(&mut [0; 2048])?;
            client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")?;
        }
    }
    let folder = tempfile::tempdir()?;
    let embedded = Embedded::open(&folder).await?;
    let (runtime, running) = (embedded.runtime(), embedded.runtime().start());
    let ann = runtime.authenticated("ten_00000000000000000000000000000001".parse()?, Actor::new("ann")?);
    let image = ImageSource::new("demo/hello:1.0.0".parse()?, ["/hello", "serve"]);
    embedded.registry().pack(&image.executable("/hello", std::env::current_exe()?)).await?;
    let project = "prj_00000000000000000000000000000001".parse()?;
    let wanted = NewEnvironment::new(project, "dev".parse()?, EnvironmentStage::Dev, "local".parse()?);
    let environment = runtime.environments().provision(&ann, wanted).await?.aggregate.id();
    runtime.environments().until_provisioned(&ann, environment, Span::from_secs(60)).await?;
    let release = runtime.deployments().resolve(&manifest::parse(RELEASE)?).await?;
    let asked = runtime.deployments().request(&ann, environment, release).await?.aggregate.id();
    let ended = runtime.deployments().until_ended(&ann, asked, Span::from_secs(60)).await?;
    let endpoint = embedded.endpoint(&ann, environment, &"hello".parse()?).await?.ok_or("no endpoint")?;
    let mut client = TcpStream::connect(endpoint.replace("http://", ""))?;
    client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    println!("{}; {endpoint} answers:\n{}", ended.status().name(), std::io::read_to_string(client)?);
    embedded.surface().destroy_all().await?;
    running.stop().await;
    embedded.close().await;
    Ok(())
}
