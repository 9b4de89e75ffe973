//! The service: a node like any device's, whose one engine is the whole fleet.

use std::time::{Duration, Instant};

use iot_core::node::Node;
use iot_core::storage::memory::MemoryRecords;
use iot_core::{DeviceId, Now, TenantId};
use iot_identity::tls::{Credential, Credentials};
use iot_transport::TokioTimer;
use iot_transport::mqtt::{Client, Settings, Tls};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::fleet::Fleet;
use crate::keeper::{Keeper, Twins};
use crate::pki::{Fallible, Pki, SERVER_NAME};

const BUFFER_BYTES: usize = 64 * 1024;

type Question = Box<dyn FnOnce(&mut Fleet, Now) + Send>;

enum Request {
    Ask(Question),
    Reconnect,
    /// Forget all twins, as a process does that ends, and begin from the registry.
    Forget,
}

/// How long what is on the wire may take to be acknowledged before the link shows another certificate.
const DRAIN: Duration = Duration::from_secs(5);

/// A handle on the running service.
pub struct Service {
    requests: mpsc::Sender<Request>,
    live: Credentials,
    task: JoinHandle<Result<(), String>>,
}

impl Service {
    /// Connects and runs; fails when the front cannot be reached in time.
    pub async fn start(
        address: String,
        tenant: TenantId,
        name: DeviceId,
        pki: &Pki,
        mut fleet: Fleet,
        twins: Twins,
    ) -> Fallible<Self> {
        let keeper = Keeper::start(twins, &mut fleet).await?;
        let live = Credentials::new(pki.service(&name)?);
        let config = pki.client(&live)?;
        let settings = Settings::service(tenant, name)
            .with_queue(20_000, 256 << 20)
            .with_window(1_000)
            .with_retry(Duration::from_millis(50), Duration::from_millis(500));
        let mut client = Client::new(Tls::new(address, SERVER_NAME, config)?, settings);
        client.connected(Duration::from_secs(5)).await?;
        let (requests, inbox) = mpsc::channel(64);
        let task = tokio::spawn(run(client, fleet, keeper, inbox));
        Ok(Self {
            requests,
            live,
            task,
        })
    }

    /// Shows another certificate from now on, on a new session; returns the old one.
    pub async fn renew(&self, next: Credential) -> Fallible<Credential> {
        let old = self.live.swap(next);
        self.request(Request::Reconnect).await?;
        Ok(old)
    }

    /// Lets it lose what it knows of its twins and begin from the registry, in the middle of whatever it does.
    pub async fn forget(&self) -> Fallible<()> {
        self.request(Request::Forget).await
    }

    async fn request(&self, request: Request) -> Fallible<()> {
        let sent = self.requests.send(request).await;
        Ok(sent.map_err(|_| "the service has stopped")?)
    }

    /// Lets `question` look at the fleet, or change what is wanted of it, between two turns.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Fleet, Now) -> R + Send + 'static,
    ) -> Fallible<R> {
        let (reply, answer) = oneshot::channel();
        let question = Box::new(move |fleet: &mut Fleet, now| {
            let _ = reply.send(question(fleet, now));
        });
        self.request(Request::Ask(question)).await?;
        Ok(answer.await.map_err(|_| "the service has stopped")?)
    }

    /// Asks again and again until `count` reaches `total`; says how far it came when time runs out.
    pub async fn reach(
        &self,
        total: usize,
        patience: Duration,
        mut progress: impl FnMut(usize),
        count: impl Fn(&mut Fleet) -> usize + Clone + Send + 'static,
    ) -> Fallible<()> {
        let since = Instant::now();
        loop {
            let counted = {
                let count = count.clone();
                self.ask(move |fleet, _| count(fleet)).await?
            };
            progress(counted);
            if counted >= total {
                return Ok(());
            }
            if since.elapsed() > patience {
                return Err(
                    format!("only {counted} of {total} after {} s", patience.as_secs()).into(),
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the service.
    pub async fn stop(self) -> Fallible<()> {
        drop(self.requests);
        Ok(self.task.await??)
    }
}

async fn run(
    client: Client<Tls>,
    mut fleet: Fleet,
    mut keeper: Keeper,
    mut requests: mpsc::Receiver<Request>,
) -> Result<(), String> {
    let mut node = Node::new(client, MemoryRecords::new(), TokioTimer::new());
    let mut buffer = vec![0; BUFFER_BYTES];
    node.restore(&mut (&mut fleet,), &mut buffer)
        .await
        .map_err(|error| error.to_string())?;
    let mut engines = (&mut fleet,);
    loop {
        // What was said has to be on record before it is answered.
        keeper.keep(engines.0).await?;
        let request = tokio::select! {
            biased;
            // Before any question: who asks has stored before what the answer is to rest on.
            changed = keeper.next() => {
                keeper.follow(engines.0, &changed?).await?;
                None
            }
            request = requests.recv() => Some(request),
            turned = node.turn(&mut engines, &mut buffer) => {
                turned.map_err(|error| error.to_string())?;
                None
            }
        };
        match request {
            Some(Some(Request::Ask(question))) => question(engines.0, Now::system()),
            Some(Some(Request::Reconnect)) => node.transport().reconnect(DRAIN),
            Some(Some(Request::Forget)) => keeper.reload(engines.0).await?,
            Some(None) => return Ok(()),
            None => {}
        }
    }
}
