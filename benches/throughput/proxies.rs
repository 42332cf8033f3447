//! Real proxies between a contestant and the sink: started by the contestant, from the machine's own
//! packages.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::contest::relay::relay;
use crate::contest::{Ground, Link, Measured};
use crate::ours;
use crate::produce::Producer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// Takes each body whole, in memory, before it passes it on.
    Nginx,
    /// Passes bodies on as they come.
    NginxUnbuffered,
    /// HAProxy.
    Balancer,
}

impl Proxy {
    pub(crate) const ALL: [Self; 3] = [Self::Nginx, Self::NginxUnbuffered, Self::Balancer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxUnbuffered => "nginx, unbuffered",
            Self::Balancer => "haproxy",
        }
    }

    /// Where it is installed, if it is.
    pub(crate) fn program(self) -> Option<PathBuf> {
        let name = match self {
            Self::Nginx | Self::NginxUnbuffered => "nginx",
            Self::Balancer => "haproxy",
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        // An administrator's programs.
        let places = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        places
            .map(|place| place.join(name))
            .find(|file| file.is_file())
    }

    fn configuration(self, address: SocketAddr, sink: &str, directory: &str) -> String {
        match self {
            Self::Nginx | Self::NginxUnbuffered => {
                let buffers = if self == Self::Nginx { "on" } else { "off" };
                format!(
                    "daemon off; worker_processes 1; pid {directory}/pid;
                     events {{ }}
                     http {{
                       access_log off; client_max_body_size 0; client_body_buffer_size 2m;
                       keepalive_requests 1000000;
                       client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
                       fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
                       scgi_temp_path {directory}/s;
                       upstream sink {{ server {sink}; keepalive 4; keepalive_requests 1000000; }}
                       server {{
                         listen {address};
                         location / {{
                           proxy_pass http://sink; proxy_http_version 1.1;
                           proxy_set_header Connection \"\"; proxy_request_buffering {buffers};
                         }}
                       }}
                     }}"
                )
            }
            Self::Balancer => format!(
                "defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n\
                 frontend front\n bind {address}\n default_backend back\n\
                 backend back\n server sink {sink}\n"
            ),
        }
    }

    /// Starts it in front of the sink at this address, and waits until it listens.
    pub(crate) fn start(self, sink: &str) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let file = directory.path().join("configuration");
        let place = directory.path().to_str().unwrap();
        std::fs::write(&file, self.configuration(address, sink, place)).unwrap();
        let mut command = Command::new(self.program().unwrap());
        match self {
            Self::Nginx | Self::NginxUnbuffered => {
                let errors = directory.path().join("errors");
                command.arg("-e").arg(errors).arg("-c").arg(&file)
            }
            Self::Balancer => command.arg("-db").arg("-f").arg(&file),
        };
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut running = Running {
            address,
            process: process.unwrap(),
            _directory: directory,
        };
        while TcpStream::connect(address).is_err() {
            let ended = running.process.try_wait().unwrap();
            assert!(ended.is_none(), "{self:?} has ended at once: {ended:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        running
    }
}

/// A proxy, which ends with this.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    process: Child,
    _directory: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let id = self.process.id().cast_signed();
        // Its own processes end with it.
        if let Some(id) = rustix::process::Pid::from_raw(id) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

/// The same as [`ours::write`], over `link` to a proxy in front of the sink, or to the sink.
pub(crate) async fn write_through(
    ground: Ground,
    link: Link,
    proxy: Option<Proxy>,
    options: impl Fn(ours::Builder) -> ours::Builder,
    bytes: u64,
    piece: usize,
) -> Measured {
    let sink = ground.url.trim_start_matches("http://").to_owned();
    let running = proxy.map(|proxy| proxy.start(&sink));
    let target = running
        .as_ref()
        .map_or_else(|| sink.parse().unwrap(), |proxy| proxy.address);
    let address = relay(link, target).await;
    let ground = Ground {
        url: format!("http://{address}"),
        ..ground
    };
    ours::write(ground, options, Producer::Ready, bytes, piece).await
}
