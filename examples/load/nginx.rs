//! nginx, which serves the service's own bytes from its cache.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::{Connection, Request};
use crate::rivals::runs;
use crate::tracker::Tracker;

/// nginx with an answer in its cache.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) request: Request,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it, as far as it is installed, and has it keep what the tracker has at `/copy`.
    pub(crate) fn start(tracker: &Tracker) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "nginx"].into_iter().find(|program| runs(program))?;
        let folder = tempfile::tempdir().expect("a folder");
        let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a port");
        let file = folder.path().join("nginx.conf");
        let mut out = std::fs::File::create(&file).expect("a file");
        out.write_all(configuration(folder.path(), address, tracker.address).as_bytes()).expect("a configuration");
        let child = Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let request = Request::get("/copy", &[("authorization", "Bearer as-long-as-it-likes")]);
        let nginx = Self { child, address, request, _folder: folder };
        nginx.wait_until_kept();
        Some(nginx)
    }

    fn wait_until_kept(&self) {
        let kept = || {
            let answer = Connection::open(self.address).and_then(|mut connection| connection.send(&self.request));
            answer.is_ok_and(|answer| answer.head.contains("x-kept: hit"))
        };
        let started = Instant::now();
        while !kept() {
            assert!(started.elapsed() < Duration::from_secs(10), "nginx keeps nothing");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its own way to stop: the workers end with the master.
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// The package's own settings as far as they matter, and a cache; two workers, and no log of what was asked.
fn configuration(folder: &Path, address: SocketAddr, tracker: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log;
         events {{ worker_connections 768; }}
         http {{
             sendfile on; tcp_nopush on; keepalive_requests 100000000; access_log off;
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
             proxy_cache_path {folder}/cache keys_zone=kept:10m;
             server {{
                 listen {address};
                 location / {{
                     proxy_pass http://{tracker}; proxy_cache kept; proxy_cache_valid 200 1h;
                     add_header X-Kept $upstream_cache_status;
                 }}
             }}
         }}\n"
    )
}
