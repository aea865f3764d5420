//! Clients by hand: one that converses, and one that follows.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// How long anything may take that a test waits for; far more than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A request as bytes, by somebody with this token.
pub(crate) fn request(method: &str, path: &str, token: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let content = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {length}\r\n")
    };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n{headers}{content}\r\n{body}"
    )
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// All of an answer: its status, head and body.
    Whole(u16, String, String),
    /// Nothing: the host took no request, or did not say.
    Nothing,
    /// A part, which no client can make anything of.
    Part(String),
}

/// A connection that stays open.
pub(crate) struct Conversation(TcpStream);

impl Conversation {
    /// `None` where the host takes no connection.
    pub(crate) async fn begin(address: SocketAddr) -> Option<Self> {
        TcpStream::connect(address).await.ok().map(Self)
    }

    pub(crate) async fn ask(&mut self, request: &str) -> Came {
        tokio::time::timeout(PATIENCE, self.exchange(request)).await.unwrap()
    }

    /// The status of an answer that must come.
    pub(crate) async fn status(&mut self, request: &str) -> u16 {
        match self.ask(request).await {
            Came::Whole(status, ..) => status,
            other => panic!("{other:?} came of {request}"),
        }
    }

    async fn exchange(&mut self, request: &str) -> Came {
        // A host that stops may close while something is written.
        drop(self.0.write_all(request.as_bytes()).await);
        let mut said = Vec::new();
        loop {
            if let Some(came) = whole(&said) {
                return came;
            }
            if !matches!(self.0.read_buf(&mut said).await, Ok(1..)) {
                return match said.is_empty() {
                    true => Came::Nothing,
                    false => Came::Part(String::from_utf8_lossy(&said).into_owned()),
                };
            }
        }
    }
}

/// The answer, once it is whole.
fn whole(said: &[u8]) -> Option<Came> {
    let text = std::str::from_utf8(said).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    // That nothing has changed is said without a body.
    let length = if status == 304 { 0 } else { length?.parse().ok()? };
    (body.len() >= length).then(|| Came::Whole(status, head.to_owned(), body.to_owned()))
}

/// A follower of a tenant's events.
pub(crate) struct Follower {
    stream: TcpStream,
    text: String,
}

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// The number of an event in its thing's history.
    Event(u64),
    /// To read anew.
    Reset,
    /// The end, and whether the stream said so itself.
    End(bool),
}

impl Follower {
    /// A follower once it is let in, or what it was told instead. `window`, where it is said, is how much it takes ahead of what is read.
    pub(crate) async fn begin(address: SocketAddr, window: Option<u32>) -> Result<Self, String> {
        tokio::time::timeout(PATIENCE, Self::let_in(address, window)).await.unwrap()
    }

    async fn let_in(address: SocketAddr, window: Option<u32>) -> Result<Self, String> {
        let socket = TcpSocket::new_v4().unwrap();
        window.into_iter().for_each(|window| socket.set_recv_buffer_size(window).unwrap());
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(request("GET", "/runtime/events", "ada", "", "").as_bytes()).await.unwrap();
        let mut follower = Self { stream, text: String::new() };
        loop {
            if let Some((_, rest)) = follower.text.split_once(": here\n\n") {
                follower.text = rest.to_owned();
                return Ok(follower);
            }
            let is_refused = follower.text.contains("\r\n\r\n") && !follower.text.starts_with("HTTP/1.1 200");
            if is_refused || !follower.read().await {
                return Err(follower.text);
            }
        }
    }

    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        let read = self.stream.read(&mut bytes).await.unwrap_or(0);
        self.text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        read > 0
    }

    pub(crate) async fn next(&mut self) -> Told {
        tokio::time::timeout(PATIENCE, self.told()).await.unwrap()
    }

    async fn told(&mut self) -> Told {
        loop {
            if let Some(begin) = self.text.find("id: ")
                && let Some(length) = self.text[begin..].find("\n\n")
            {
                let told = told(&self.text[begin..begin + length]);
                self.text.drain(..begin + length + 2);
                return told;
            }
            if !self.read().await {
                return Told::End(self.text.ends_with("0\r\n\r\n"));
            }
        }
    }
}

fn told(block: &str) -> Told {
    if block.contains("event: reset") {
        return Told::Reset;
    }
    let (_, rest) = block.split_once("\"sequence\":").unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Told::Event(digits.parse().unwrap())
}
