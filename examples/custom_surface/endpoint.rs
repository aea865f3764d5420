//! The data plane of one component: an address that stays, behind which replicas come and go.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use factory_runtime::domain::component::RevisionId;
use factory_runtime::domain::surface::Traffic;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

const NOBODY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Which replicas are ready, by revision.
pub type Ready = BTreeMap<RevisionId, Vec<SocketAddr>>;

/// An endpoint. Dropped, it is closed.
pub struct Endpoint {
    address: SocketAddr,
    traffic: Arc<Mutex<Traffic>>,
    _closed_when_dropped: DropGuard,
}

impl Endpoint {
    /// Opens an endpoint, and asks `ready` for each connection.
    pub async fn open(traffic: Traffic, ready: impl Fn() -> Ready + Send + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (closed, traffic) = (CancellationToken::new(), Arc::new(Mutex::new(traffic)));
        let accepting = accept(listener, Arc::clone(&traffic), ready);
        tokio::spawn(closed.clone().run_until_cancelled_owned(accepting));
        Ok(Self { address, traffic, _closed_when_dropped: closed.drop_guard() })
    }

    /// Divides what comes from now on otherwise, all at once.
    pub fn shift(&self, traffic: Traffic) {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner) = traffic;
    }

    /// How it divides: what the next connection is decided by.
    pub fn traffic(&self) -> Traffic {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, traffic: Arc<Mutex<Traffic>>, ready: impl Fn() -> Ready) {
    let turns = AtomicU64::new(0);
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let ready = ready();
        let chosen = choose(&traffic.lock().unwrap_or_else(PoisonError::into_inner), &ready, turn);
        tokio::spawn(async move {
            let replica = match chosen {
                Some(address) => TcpStream::connect(address).await.ok(),
                None => None,
            };
            // Either side may leave; nothing is to be done about that.
            match replica {
                Some(mut replica) => drop(tokio::io::copy_bidirectional(&mut client, &mut replica).await),
                None => drop(client.write_all(NOBODY).await),
            }
        });
    }
}

/// The replica for a turn. Of a hundred turns as many go to a revision as its share says, spread evenly; a revision without a ready replica gives
/// its turns to those that have one.
fn choose(traffic: &Traffic, ready: &Ready, turn: u64) -> Option<SocketAddr> {
    let able = |revision: &RevisionId| ready.get(revision).filter(|replicas| !replicas.is_empty());
    let one_of = |replicas: &[SocketAddr]| {
        let at = turn % u64::try_from(replicas.len()).ok()?;
        replicas.get(usize::try_from(at).ok()?).copied()
    };
    if let Traffic::Weighted(weights) = traffic {
        // 61 shares no factor with 100, so that a hundred turns meet every hundredth once, in no order.
        let hundredth = turn * 61 % 100;
        let mut sum = 0;
        for (revision, share) in weights.iter() {
            sum += u64::from(share.get());
            if hundredth < sum
                && let Some(replicas) = able(revision)
            {
                // By the hundred: a step that shares a factor with their number would leave some out.
                return replicas.get(usize::try_from(turn / 100 + turn).ok()? % replicas.len()).copied();
            }
        }
    }
    let all: Vec<_> = traffic.revisions().into_iter().filter_map(able).flatten().copied().collect();
    if all.is_empty() { None } else { one_of(&all) }
}
