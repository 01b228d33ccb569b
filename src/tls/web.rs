//! HTTP/1.1 to somebody who is neither a partner nor the own node: a witness, a file server.
//!
//! What comes back is believed for the signatures in it alone, so plain http will do; https asks for
//! anchors that somebody named, because no common pool of them is known here. A redirect is an answer
//! and never followed, every answer has a longest length, and nobody waits for ever.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{CONNECT_TIMEOUT, VERSIONS, provider, trust};

const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("{found:?} is not an address such as http://host:8080/path: {reason}")]
    Address { found: String, reason: String },
    #[error("no trust anchor is given for https, so {0} cannot be verified")]
    NoAuthority(String),
    #[error("invalid trust anchor for https: not a PEM certificate: {0}")]
    Pem(pem::Error),
    #[error("invalid trust anchor for https: {0}")]
    Authority(rustls::Error),
    #[error("cannot reach {0}")]
    Connect(String, #[source] io::Error),
    #[error("{0} did not prove its identity")]
    Untrusted(String, #[source] io::Error),
    #[error("{0} does not support TLS 1.3")]
    NoTls(String, #[source] io::Error),
    #[error("{0} did not answer within {within} s", within = .1.as_secs())]
    Silent(String, Duration),
    #[error("{0} broke off")]
    Broken(String, #[source] hyper::Error),
    #[error("{0} broke off")]
    Cut(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} answered more than {1} bytes")]
    TooLong(String, usize),
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
}

impl WebError {
    /// Returns true if the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        use WebError::{Broken, Connect, Cut, Silent};
        matches!(self, Connect(..) | Silent(..) | Broken(..) | Cut(..))
    }
}

/// The answer of a server.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// The redirection address, if the server gives one.
    pub location: Option<String>,
    pub body: Bytes,
}

/// One server, below one address. Its connection is kept while it answers.
pub struct WebClient {
    base: Url,
    host: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    answer_within: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl WebClient {
    /// `authorities` are certificates in PEM; https trusts them and nothing else.
    pub fn new(
        address: &str,
        authorities: Option<&[u8]>,
        answer_within: Duration,
    ) -> Result<Self, WebError> {
        let unfit = |reason: &str| WebError::Address {
            found: address.to_owned(),
            reason: reason.to_owned(),
        };
        let base: Url =
            address.parse().map_err(|error: url::ParseError| unfit(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(unfit("it begins with neither http:// nor https://"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(unfit("it has a query or a fragment"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(unfit("it has a user or a password"));
        }
        let name = base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = match (base.scheme(), authorities) {
            ("http", None) => None,
            ("http", Some(_)) => return Err(unfit("certificates are for https only")),
            (_, None) => return Err(WebError::NoAuthority(address.to_owned())),
            (_, Some(pem)) => {
                let server = ServerName::try_from(name).map_err(|e| unfit(&e.to_string()))?;
                Some((connector(pem)?, server))
            }
        };
        let host = base.authority().to_owned();
        Ok(Self { base, host, tls, answer_within, connection: None })
    }

    /// The address of something below this one.
    pub fn address(&self, path: &str) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        format!("{base}/{path}")
    }

    pub async fn get(&mut self, path: &str, bytes_max: usize) -> Result<Answer, WebError> {
        let request = Request::get(self.target(path)).header(header::HOST, &self.host);
        self.ask(request.body(Full::default())?, bytes_max).await
    }

    pub async fn post(
        &mut self,
        path: &str,
        body: Vec<u8>,
        bytes_max: usize,
    ) -> Result<Answer, WebError> {
        let request = Request::post(self.target(path))
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        self.ask(request.body(Full::new(body.into()))?, bytes_max).await
    }

    fn target(&self, path: &str) -> String {
        format!("{}/{path}", self.base.path().trim_end_matches('/'))
    }

    async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<Answer, WebError> {
        let silent = WebError::Silent(self.host.clone(), self.answer_within);
        let answer = tokio::time::timeout(self.answer_within, self.answer(request, bytes_max));
        let answer = answer.await.unwrap_or(Err(silent));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn answer(
        &mut self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<Answer, WebError> {
        let response = self.send(request).await?;
        let status = response.status();
        let location = response.headers().get(header::LOCATION);
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let body = Limited::new(response.into_body(), bytes_max).collect().await;
        let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
            Ok(_) => WebError::TooLong(self.host.clone(), bytes_max),
            Err(error) => WebError::Cut(self.host.clone(), error),
        })?;
        Ok(Answer { status, location, body: body.to_bytes() })
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, WebError> {
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
            && let Ok(response) = kept.send_request(request.clone()).await
        {
            self.connection = Some(kept);
            return Ok(response);
        }
        // The server may close a connection at any time between two requests.
        let mut fresh = self.connect().await?;
        let response = fresh.send_request(request).await;
        let response = response.map_err(|error| WebError::Broken(self.host.clone(), error))?;
        self.connection = Some(fresh);
        Ok(response)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, WebError> {
        let unreachable = |error| WebError::Connect(self.host.clone(), error);
        let name = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.base.port_or_known_default().unwrap_or(80);
        let dialled = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((name, port)));
        let socket = dialled
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .and_then(|socket| socket.set_nodelay(true).map(|()| socket))
            .map_err(unreachable)?;
        let Some((connector, server)) = &self.tls else { return self.speak(socket).await };
        let stream = connector.connect(server.clone(), socket).await.map_err(|error| {
            let host = self.host.clone();
            match error.get_ref().and_then(|source| source.downcast_ref()) {
                Some(rustls::Error::InvalidCertificate(_)) => WebError::Untrusted(host, error),
                Some(_) => WebError::NoTls(host, error),
                None => WebError::Connect(host, error),
            }
        })?;
        self.speak(stream).await
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
    ) -> Result<SendRequest<Full<Bytes>>, WebError> {
        let spoken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) =
            spoken.map_err(|error| WebError::Broken(self.host.clone(), error))?;
        // It ends with the sender.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn connector(pem: &[u8]) -> Result<TlsConnector, WebError> {
    let anchors: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(WebError::Pem)?;
    if anchors.is_empty() {
        return Err(WebError::Pem(pem::Error::NoItemsFound));
    }
    let roots = trust::roots(&anchors).map_err(WebError::Authority)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(WebError::Authority)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    const WITHIN: Duration = Duration::from_secs(10);

    fn client(address: &str) -> Result<WebClient, WebError> {
        WebClient::new(address, None, WITHIN)
    }

    #[test]
    fn only_plain_addresses_are_taken_and_https_needs_its_authorities() {
        for good in ["http://w.example", "http://127.0.0.1:8080/a/b/", "http://[::1]:80/x"] {
            assert!(client(good).is_ok(), "{good}");
        }
        for bad in [
            "w.example",
            "http://",
            "ftp://w.example",
            "http://w/?a",
            "http://w/#a",
            "http://u:p@w/",
        ] {
            assert!(matches!(client(bad), Err(WebError::Address { .. })), "{bad}");
        }
        assert!(matches!(client("https://w.example"), Err(WebError::NoAuthority(_))));
        let with = |pem: &[u8]| WebClient::new("https://w.example", Some(pem), WITHIN).err();
        assert!(matches!(with(b""), Some(WebError::Pem(_))));
        let below = client("http://w.example/logs/").unwrap();
        assert_eq!(below.address("checkpoint"), "http://w.example/logs/checkpoint");
        assert_eq!(below.target("checkpoint"), "/logs/checkpoint");
    }

    /// Starts a server that gives each connection one of `answers` and closes it; counts
    /// connections.
    async fn server(answers: Vec<Vec<&'static str>>) -> (String, Arc<Mutex<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/log", listener.local_addr().unwrap());
        let count = Arc::new(Mutex::new(0));
        let counting = Arc::clone(&count);
        tokio::spawn(async move {
            for answers in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                *counting.lock().unwrap() += 1;
                for answer in answers {
                    let mut heard = Vec::new();
                    while !heard.ends_with(b"\r\n\r\n") {
                        heard.push(stream.read_u8().await.unwrap());
                    }
                    assert!(heard.starts_with(b"GET /log/checkpoint HTTP/1.1\r\n"));
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        (address, count)
    }

    const SHORT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    #[tokio::test]
    async fn a_connection_is_used_again_and_replaced_when_it_was_closed() {
        let (address, count) = server(vec![vec![SHORT, SHORT], vec![SHORT]]).await;
        let mut client = client(&address).unwrap();
        for _ in 0..3 {
            let answer = client.get("checkpoint", 2).await.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"ok"[..]));
        }
        assert_eq!(*count.lock().unwrap(), 2);
    }

    #[tokio::test]
    async fn long_and_cut_answers_are_no_answers_and_a_redirect_is_only_told() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
        let redirect = "HTTP/1.1 302 Found\r\nLocation: http://a/\r\nContent-Length: 0\r\n\r\n";
        let (address, _) = server(vec![vec![SHORT], vec![cut], vec![redirect]]).await;
        let mut client = client(&address).unwrap();
        let long = client.get("checkpoint", 1).await.unwrap_err();
        assert!(matches!(long, WebError::TooLong(_, 1)) && !long.is_passing());
        let cut = client.get("checkpoint", 100).await.unwrap_err();
        assert!(matches!(cut, WebError::Cut(..)) && cut.is_passing(), "{cut:?}");
        let redirect = client.get("checkpoint", 100).await.unwrap();
        assert_eq!(redirect.location.as_deref(), Some("http://a/"));
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mut client = WebClient::new(&address, None, Duration::from_millis(1)).unwrap();
        let silent = client.get("checkpoint", 1).await.unwrap_err();
        assert!(matches!(silent, WebError::Silent(..)) && silent.is_passing());
        drop(listener);
        let mut client = WebClient::new(&address, None, WITHIN).unwrap();
        let gone = client.get("checkpoint", 1).await.unwrap_err();
        assert!(matches!(gone, WebError::Connect(..)) && gone.is_passing());
    }
}
