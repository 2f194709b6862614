//! The workers: one thread and one port each.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use mediasoup::prelude::{
    ListenInfo, Protocol, WebRtcServer, WebRtcServerListenInfos, WebRtcServerOptions, Worker, WorkerManager,
    WorkerSettings,
};
use mediasoup::worker::WorkerLogLevel;
use tokio::sync::mpsc;
use witan_media_protocol::settings::Settings;

/// One thread of the media engine, with its port.
#[derive(Debug)]
pub struct Lane {
    pub worker: Worker,
    pub server: WebRtcServer,
    /// How many sessions it carries.
    pub sessions: AtomicUsize,
}

pub struct Workers {
    lanes: Vec<Arc<Lane>>,
    /// Keeps the engine's own threads.
    _manager: WorkerManager,
    /// Told when a worker's thread has ended, which none does in good order.
    dead: Mutex<Option<mpsc::Receiver<String>>>,
}

impl Workers {
    pub async fn start(settings: &Settings) -> Result<Self, String> {
        let manager = WorkerManager::new();
        let (died, dead) = mpsc::channel(1);
        let count = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            count => count.into(),
        };
        let mut lanes = Vec::with_capacity(count);
        for number in 0..count {
            let mut options = WorkerSettings::default();
            options.log_level = WorkerLogLevel::Error;
            options.log_tags = Vec::new();
            let worker = manager.create_worker(options).await.map_err(|error| format!("a worker: {error}"))?;
            let died = died.clone();
            worker
                .on_dead(move |ended| {
                    // One word is enough for the node to end.
                    let _ = died.try_send(format!("{ended:?}"));
                })
                .detach();
            let port = match settings.port {
                0 => None,
                first => {
                    let offset = u16::try_from(number).map_err(|error| error.to_string())?;
                    Some(first.checked_add(offset).ok_or("the workers' ports go beyond 65535")?)
                }
            };
            let infos = listen_infos(settings, port).ok_or("there is no address to listen on")?;
            let server = worker.create_webrtc_server(WebRtcServerOptions::new(infos)).await;
            let server =
                server.map_err(|error| format!("port {} of {:?}: {error}", port.unwrap_or(0), settings.listen))?;
            lanes.push(Arc::new(Lane { worker, server, sessions: AtomicUsize::new(0) }));
        }
        Ok(Self { lanes, _manager: manager, dead: Mutex::new(Some(dead)) })
    }

    /// The one that carries least.
    pub fn least_loaded(&self) -> Option<Arc<Lane>> {
        self.lanes.iter().min_by_key(|lane| lane.sessions.load(Relaxed)).cloned()
    }

    pub fn count(&self) -> usize {
        self.lanes.len()
    }

    /// Comes back when a worker has ended, with why.
    pub async fn died(&self) -> String {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner).take();
        match dead {
            Some(mut dead) => match dead.recv().await {
                Some(why) => why,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

fn listen_infos(settings: &Settings, port: Option<u16>) -> Option<WebRtcServerListenInfos> {
    let infos = settings.listen.iter().flat_map(|ip| {
        [Protocol::Udp, Protocol::Tcp].map(|protocol| ListenInfo {
            protocol,
            ip: *ip,
            announced_address: announced(&settings.announced, *ip),
            expose_internal_ip: false,
            port,
            port_range: None,
            flags: None,
            send_buffer_size: None,
            recv_buffer_size: None,
        })
    });
    infos.fold(None, |all: Option<WebRtcServerListenInfos>, info| match all {
        None => Some(WebRtcServerListenInfos::new(info)),
        Some(all) => Some(all.insert(info)),
    })
}

/// An address of the same family, or a name, which stands for any.
fn announced(announced: &[String], ip: IpAddr) -> Option<String> {
    let fits = |text: &&String| text.parse::<IpAddr>().map_or(true, |other| other.is_ipv4() == ip.is_ipv4());
    announced.iter().find(fits).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_announced_for_its_family_and_a_name_for_both() {
        let (four, six): (IpAddr, IpAddr) = ("0.0.0.0".parse().unwrap(), "::".parse().unwrap());
        let both = ["203.0.113.7".to_owned(), "2001:db8::7".to_owned()];
        assert_eq!(announced(&both, four).as_deref(), Some("203.0.113.7"));
        assert_eq!(announced(&both, six).as_deref(), Some("2001:db8::7"));
        assert_eq!(announced(&both[..1], six), None);
        assert_eq!(announced(&["media.example.org".to_owned()], six).as_deref(), Some("media.example.org"));
    }
}
