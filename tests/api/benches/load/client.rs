//! Clients that ask again as soon as they are answered, each on a connection that stays open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::host::Host;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub enum Scene {
    Get,
    List,
    Change,
}

impl Scene {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Change => "change",
        }
    }

    fn request(self, environment: &str, number: u64) -> String {
        let head = "host: localhost\r\nauthorization: Bearer ada\r\n";
        match self {
            Self::Get => format!("GET /runtime/environments/{environment} HTTP/1.1\r\n{head}\r\n"),
            Self::List => format!("GET /runtime/environments?limit=20 HTTP/1.1\r\n{head}\r\n"),
            Self::Change => {
                let body = format!("{{\"isProtected\":{}}}", number.is_multiple_of(2));
                let length = body.len();
                format!(
                    "POST /runtime/environments/{environment}/protection HTTP/1.1\r\n{head}content-type: application/json\r\n\
                     content-length: {length}\r\n\r\n{body}"
                )
            }
        }
    }
}

/// What a round came to.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Requests in a second.
    pub rate: f64,
    pub p99: Duration,
    /// The host's processor time for one request.
    pub cpu: Duration,
}

impl Measured {
    pub fn of(mut took: Vec<Duration>, lasted: Duration, cpu: Duration) -> Self {
        took.sort_unstable();
        let count = u32::try_from(took.len()).unwrap();
        Self {
            rate: f64::from(count) / lasted.as_secs_f64(),
            p99: took[took.len() * 99 / 100],
            cpu: cpu / count,
        }
    }
}

/// One round.
pub async fn measured(
    host: &Host,
    address: SocketAddr,
    scene: Scene,
    connections: usize,
    lasts: Duration,
) -> Measured {
    let (cpu, begun) = (host.cpu(), Instant::now());
    let clients = host.environments.iter().take(connections).map(|environment| {
        let environment = environment.clone();
        tokio::spawn(async move {
            let (mut connection, mut took) = (Connection::new(address).await, Vec::new());
            let mut number = 0;
            while begun.elapsed() < lasts {
                let asked = Instant::now();
                connection.ask(&scene.request(&environment, number)).await;
                took.push(asked.elapsed());
                number += 1;
            }
            took
        })
    });
    let mut took = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        took.extend(client.await.unwrap());
    }
    Measured::of(took, begun.elapsed(), host.cpu() - cpu)
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, answer: Vec::new() }
    }

    /// One exchange, whose answer must be good and say how long it is.
    async fn ask(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer.clear();
        loop {
            assert!(
                self.stream.read_buf(&mut self.answer).await.unwrap() > 0,
                "the host closed the connection"
            );
            if let Some(length) = whole(&self.answer)
                && self.answer.len() >= length
            {
                return;
            }
        }
    }
}

/// How long the answer is, once its head is there.
fn whole(answer: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
    let length = answer[..head].windows(NAME.len()).position(|window| window == NAME).unwrap() + NAME.len();
    let digits = answer[length..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(head + 4 + digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0')))
}
