//! Counters for Prometheus, over as much HTTP as a scrape needs.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::failure::Failure;

/// Scrapes at once; one more ends the oldest.
const SCRAPES_MAX: usize = 8;

/// Bytes of a request's head; one that is longer is cut off.
const HEAD_MAX: usize = 8 * 1024;

/// For the head of a request, from its connection on.
const HEAD_WITHIN: Duration = Duration::from_secs(1);

/// For one scrape, from its connection to its end.
const SCRAPE_WITHIN: Duration = Duration::from_secs(5);

/// Makes what is shown, at each scrape anew.
pub(crate) type Page = Arc<dyn Fn() -> String + Send + Sync>;

/// A server of metrics; it ends with this.
pub(crate) struct Metrics {
    pub(crate) asked: SocketAddr,
    pub(crate) local: SocketAddr,
    task: tokio::task::AbortHandle,
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Metrics {
    /// Listens, and serves on `runtime`.
    pub(crate) fn start(address: SocketAddr, runtime: &Handle, page: Page) -> Result<Metrics, Failure> {
        let listen = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let local = listener.local_addr()?;
            let _runtime = runtime.enter();
            Ok((TcpListener::from_std(listener)?, local))
        };
        let (listener, local) = listen().map_err(|error: io::Error| {
            Failure::other(format!("cannot serve metrics on {address}: {error}; choose another --metrics"))
        })?;
        let task = runtime.spawn(serve(listener, page)).abort_handle();
        Ok(Metrics { asked: address, local, task })
    }
}

/// A page of what `collector` has, each name with `prefix` in front.
pub(crate) fn page(prefix: &str, collector: Box<dyn Collector>) -> String {
    let mut registry = Registry::default();
    registry.sub_registry_with_prefix(prefix).register_collector(collector);
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut page, &registry);
    page
}

async fn serve(listener: TcpListener, page: Page) {
    let mut scrapes = VecDeque::<JoinHandle<()>>::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of file descriptors, most likely: that passes.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let page = Arc::clone(&page);
        scrapes.retain(|scrape| !scrape.is_finished());
        if scrapes.len() >= SCRAPES_MAX
            && let Some(oldest) = scrapes.pop_front()
        {
            oldest.abort();
        }
        scrapes.push_back(tokio::spawn(async move {
            // Who does not take the answer does not get it.
            let _ = tokio::time::timeout(SCRAPE_WITHIN, answer(stream, &page)).await;
        }));
    }
}

/// A request's head; `None` when the peer goes before it is whole.
async fn head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut room = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_MAX {
        match stream.read(&mut room).await? {
            0 => return Ok(None),
            n => head.extend_from_slice(room.get(..n).unwrap_or_default()),
        }
    }
    Ok(Some(head))
}

async fn answer(mut stream: TcpStream, page: &Page) -> io::Result<()> {
    let Some(head) = tokio::time::timeout(HEAD_WITHIN, head(&mut stream)).await?? else { return Ok(()) };
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") => ("200 OK", page()),
        (b"GET" | b"HEAD", _) => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != b"HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}
