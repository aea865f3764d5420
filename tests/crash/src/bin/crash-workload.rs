//! What the crash test rolls out: a server that tells its version, and fails where its image says so; or a job that leaves a line.
//!
//! Written against the standard library alone, so that its image is small.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("migrate") => migrate(),
        _ => serve(),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// A migration that must not run twice: each run leaves a line.
fn migrate() -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(variable("MIGRATIONS"))?;
    writeln!(file, "{}", variable("FACTORY_JOB"))
}

fn serve() -> io::Result<()> {
    let listener = TcpListener::bind(format!("127.0.0.1:{}", variable("PORT")))?;
    for stream in listener.incoming() {
        let stream = stream?;
        // A client that leaves is no concern of the workload.
        std::thread::spawn(move || drop(converse(&stream)));
    }
    Ok(())
}

/// Answers the requests of one connection, one after the other.
fn converse(mut stream: &TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next() {
        let is_probe = request?.contains(" /ready ");
        for header in lines.by_ref() {
            if header?.is_empty() {
                break;
            }
        }
        let (status, text) = if variable("BROKEN") == "yes" && !is_probe {
            ("500 Internal Server Error", "broken".to_owned())
        } else {
            ("200 OK", format!("version {}", variable("VERSION")))
        };
        let length = text.len();
        stream
            .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{text}").as_bytes())?;
    }
    Ok(())
}
