//! The primary that Sentinel names: asked again whenever there is doubt, and told of by Sentinel.
//!
//! **Invariant:** what Sentinel names must itself say that it is a primary, or it is not used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::StreamExt;
use redis::Value;
use redis::aio::PubSub;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::dial::Dial;
use crate::fault::{Effect, Fault};
use crate::link::Link;
use crate::options::{Address, Options};
use crate::wire::{array, text};

/// Between two tries to hear Sentinel's news, or to have an answer where none was given.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Sentinel {
    sentinels: Vec<Address>,
    master: String,
    to_sentinels: Dial,
    to_nodes: Arc<Dial>,
    options: Options,
    link: ArcSwapOption<Link>,
    /// Whether `link` may no longer be the primary.
    is_doubted: AtomicBool,
    /// One asks at a time; when none answered last.
    asking: Mutex<Option<Instant>>,
}

impl Sentinel {
    pub(crate) fn new(
        sentinels: Vec<Address>,
        master: &str,
        to_sentinels: Dial,
        to_nodes: Arc<Dial>,
        options: &Options,
    ) -> Arc<Self> {
        let sentinel = Arc::new(Self {
            sentinels,
            master: master.to_owned(),
            to_sentinels,
            to_nodes,
            options: options.clone(),
            link: ArcSwapOption::empty(),
            is_doubted: AtomicBool::new(false),
            asking: Mutex::new(None),
        });
        tokio::spawn(hear(Arc::downgrade(&sentinel)));
        sentinel
    }

    /// Ask again before the next use.
    pub(crate) fn doubt(&self, link: &Arc<Link>) {
        if self
            .link
            .load()
            .as_ref()
            .is_some_and(|present| Arc::ptr_eq(present, link))
        {
            self.is_doubted.store(true, Ordering::Release);
        }
    }

    pub(crate) async fn link(&self) -> Result<Arc<Link>, Fault> {
        if let Some(link) = self.undoubted() {
            return Ok(link);
        }
        // While somebody asks, and while no Sentinel answers, the one that is known stays in use: it must itself say
        // that it is a primary.
        let known = self.link.load_full();
        let mut unanswered = match (self.asking.try_lock(), &known) {
            (Ok(asking), _) => asking,
            (Err(_), Some(link)) => return Ok(link.clone()),
            (Err(_), None) => self.asking.lock().await,
        };
        if let Some(link) = self.undoubted() {
            return Ok(link);
        }
        if let Some(link) = &known
            && unanswered.is_some_and(|at| at.elapsed() < PAUSE)
        {
            return Ok(link.clone());
        }
        let address = match self.primary().await {
            Ok(address) => address,
            Err(fault) => {
                *unanswered = Some(Instant::now());
                return known.ok_or(fault);
            }
        };
        *unanswered = None;
        // Doubt that comes while this answer is tried asks again.
        self.is_doubted.store(false, Ordering::Release);
        if let Some(link) = self.link.load_full().filter(|link| link.address == address) {
            return Ok(link);
        }
        tracing::info!(address = %address, master = %self.master, "redis primary named by sentinel");
        let link = Link::new(address, self.to_nodes.clone(), &self.options);
        self.link.store(Some(link.clone()));
        Ok(link)
    }

    fn undoubted(&self) -> Option<Arc<Link>> {
        if self.is_doubted.load(Ordering::Acquire) {
            return None;
        }
        self.link.load_full()
    }

    /// The first Sentinel that answers is believed: the node itself must agree.
    async fn primary(&self) -> Result<Address, Fault> {
        let mut last = Fault::new(Effect::Nothing, "there is no Sentinel");
        for sentinel in &self.sentinels {
            match self.ask(sentinel).await {
                Ok(address) => return Ok(address),
                Err(fault) => last = fault,
            }
        }
        Err(last.before_sending())
    }

    async fn ask(&self, sentinel: &Address) -> Result<Address, Fault> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let answer = self.to_sentinels.ask_once(sentinel, &command).await?;
        if answer == Value::Nil {
            let why = format!("Sentinel {sentinel} knows no primary named {}", self.master);
            return Err(Fault::new(Effect::Nothing, why));
        }
        let parts = array(answer, "SENTINEL GET-MASTER-ADDR-BY-NAME")?;
        let named = match parts.as_slice() {
            [host, port] => text(host).zip(text(port).and_then(|port| port.parse().ok())),
            _ => None,
        };
        let (host, port) = named.ok_or_else(|| Fault::unreadable("SENTINEL GET-MASTER-ADDR-BY-NAME"))?;
        Ok(Address::new(host, port))
    }

    /// A Sentinel that tells of failovers.
    async fn news(&self) -> Result<PubSub, Fault> {
        let mut last = Fault::new(Effect::Nothing, "there is no Sentinel");
        for sentinel in &self.sentinels {
            let heard = async {
                let mut news = self.to_sentinels.listen(sentinel).await?;
                news.subscribe("+switch-master").await?;
                Ok::<_, Fault>(news)
            };
            match heard.await {
                Ok(news) => return Ok(news),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }
}

/// Doubts the primary at every `+switch-master`, until the store is gone. Whoever tells may die
/// silently; then calls that fail are what raises doubt, and the watch of the link.
async fn hear(sentinel: Weak<Sentinel>) {
    loop {
        let news = match sentinel.upgrade() {
            None => return,
            Some(sentinel) => sentinel.news().await,
        };
        match news {
            Err(fault) => tracing::debug!(why = %fault, "no sentinel tells of failovers"),
            Ok(news) => {
                let mut messages = news.into_on_message();
                // What was switched before we listened.
                if !switched(&sentinel, None) {
                    return;
                }
                while let Some(message) = messages.next().await {
                    if !switched(&sentinel, std::str::from_utf8(message.get_payload_bytes()).ok()) {
                        return;
                    }
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// `name old-host old-port new-host new-port`. Whether anybody still wants to know.
fn switched(sentinel: &Weak<Sentinel>, message: Option<&str>) -> bool {
    let Some(sentinel) = sentinel.upgrade() else {
        return false;
    };
    let name = message.and_then(|message| message.split(' ').next());
    if name.is_none_or(|name| name == sentinel.master) {
        sentinel.is_doubted.store(true, Ordering::Release);
    }
    true
}
