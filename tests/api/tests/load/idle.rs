//! Connections that are many, and requests that are many on one connection.

use futures::future::join_all;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use runtime_domain::time::Span;
use tokio::net::TcpStream;

use crate::client::{Came, Conversation, request};
use crate::here::Here;

const CONNECTIONS: usize = 1_000;

/// They are ended after a while without a request, and cost nobody anything meanwhile.
#[test]
fn a_thousand_idle_connections_are_cheap_and_are_ended() {
    let here = Here::start(|_, _, bounds| bounds.idle_for = Span::from_secs(3));
    let livez = request("GET", "/livez", "ada", "", "");
    let wave = async || {
        let idle = join_all((0..CONNECTIONS).map(|_| async {
            let mut conversation = Conversation::begin(here.address).await.unwrap();
            assert_eq!(conversation.status(&livez).await, 200);
            conversation
        }));
        let idle = idle.await;
        let mut another = Conversation::begin(here.address).await.unwrap();
        assert_eq!(another.status(&request("GET", "/runtime/environments", "ada", "", "")).await, 200);
        // Each is ended without a word.
        let ends = join_all(idle.into_iter().map(|mut idle| async move { idle.ask("").await })).await;
        assert!(ends.iter().all(|end| *end == Came::Nothing), "{ends:?}");
    };
    here.run(wave());
    let counted = here.kept(wave());
    println!("{} bytes for each connection and its client", counted.bytes_max / CONNECTIONS as u64);
    assert!(counted.bytes_max < 64_000 * CONNECTIONS as u64, "{counted:?}");
    assert!(counted.bytes_current < 100 * CONNECTIONS as i64, "{counted:?}");
}

type Sender = SendRequest<Empty<Bytes>>;

async fn connected(here: &Here) -> Sender {
    let stream = TcpStream::connect(here.address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn asked(mut sender: Sender, here: &Here, path: &str) -> hyper::Response<hyper::body::Incoming> {
    let request =
        Request::get(format!("http://{}{path}", here.address)).header("authorization", "Bearer ada");
    sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap()
}

/// As many as a connection may have are worked on at once, and the others wait at the client.
#[test]
fn thousands_of_requests_at_once_on_one_connection_are_all_answered() {
    let here = Here::start(|_, _, _| {});
    let wave = async || {
        let sender = connected(&here).await;
        let path = format!("/runtime/environments/{}", here.environments[0]);
        let answers = join_all((0..2_000).map(|_| async {
            let answer = asked(sender.clone(), &here, &path).await;
            let status = answer.status().as_u16();
            (status, answer.into_body().collect().await.unwrap().to_bytes().len())
        }));
        let answers = answers.await;
        assert!(answers.iter().all(|(status, length)| *status == 200 && *length > 100), "{answers:?}");
    };
    here.run(wave());
    let counted = here.kept(wave());
    assert!(counted.bytes_current < 100_000, "{counted:?}");
}

/// Followers that share a connection go with it, and their places come back.
#[test]
fn a_hundred_followers_on_one_connection_are_told_the_same_and_go_with_it() {
    const FOLLOWERS: usize = 100;
    let here = Here::start(|admission, _, _| admission.streams = FOLLOWERS);
    here.run(async {
        let mut conversation = Conversation::begin(here.address).await.unwrap();
        for _ in 0..2 {
            let sender = connected(&here).await;
            let begun = tokio::time::Instant::now();
            let mut followers = Vec::new();
            while followers.len() < FOLLOWERS {
                let answer = asked(sender.clone(), &here, "/runtime/events").await;
                match answer.status().as_u16() {
                    200 => followers.push((answer.into_body(), String::new())),
                    status => assert!(status == 503 && begun.elapsed().as_secs() < 60, "{status}"),
                }
            }
            assert_eq!(asked(sender.clone(), &here, "/runtime/events").await.status(), 503);
            for what in ["stop-the-line", "resume-the-line"] {
                let path = format!("/runtime/environments/{}/{what}", here.environments[0]);
                let command = request("POST", &path, "ada", "", "{\"reason\":\"load\"}");
                assert_eq!(conversation.status(&command).await, 200);
            }
            let told = join_all(followers.iter_mut().map(async |(body, text)| {
                while text.matches("\nevent: progress\n").count() < 2 {
                    let frame = body.frame().await.unwrap().unwrap();
                    text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
                }
                text.clone()
            }));
            let told = told.await;
            assert!(told.iter().all(|text| *text == told[0]), "{told:?}");
        }
    });
}
