//! A journal that is followed from outside: over HTTP where somebody serves an export, and at a
//! running node. Whatever contradicts what was seen ends it with exit code 6.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use liaison::pb;
use liaison::policy::ClientRole;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
    Lines,
};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio_rustls::TlsAcceptor;

use crate::fixture::{CORE_ONLY, DEADLINE, PROGRAM, RunningNode, copy, indicator, liaison, make};

const AGENCY: &str = "police.example";

/// The behaviour of a file server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Serving {
    Folder(PathBuf),
    /// One answer to everything: its status line, headers included, and its body.
    Always(&'static str, Vec<u8>),
}

/// A file server whose content a test changes from one request to the next.
struct Server {
    address: SocketAddr,
    serving: Arc<Mutex<Serving>>,
    /// The paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(folder: &Path, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::new(Mutex::new(Serving::Folder(folder.to_owned())));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (what, heard) = (Arc::clone(&serving), Arc::clone(&asked));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (what, heard, tls) = (Arc::clone(&what), Arc::clone(&heard), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &what, &heard).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &what, &heard).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, serving, asked }
    }

    fn now(&self, serving: Serving) {
        *self.serving.lock().unwrap() = serving;
    }

    fn folder(&self, folder: &Path) {
        self.now(Serving::Folder(folder.to_owned()));
    }

    fn url(&self) -> String {
        format!("http://{}/npa-export", self.address)
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    serving: &Mutex<Serving>,
    asked: &Mutex<Vec<String>>,
) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.strip_prefix("GET /npa-export/").unwrap().split(' ').next().unwrap();
        asked.lock().unwrap().push(path.to_owned());
        let serving = serving.lock().unwrap().clone();
        let (status, body) = match serving {
            Serving::Always(status, body) => (status, body),
            Serving::Folder(folder) => match std::fs::read(folder.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", b"no such file".to_vec()),
            },
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
            return;
        }
    }
}

/// Exports of one agency's journal: as it began, as it went on, and as it went on otherwise in a
/// copy of its directory under the same keys.
struct Exports {
    dir: TempDir,
    first: PathBuf,
    later: PathBuf,
    forked: PathBuf,
}

impl Exports {
    async fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = RunningNode::fresh(dir.path(), AGENCY, "police", CORE_ONLY).await;
        submit(&node, "one", 20).await;
        let first = export(&node, &dir.path().join("first")).await;
        let at = node.dir.clone();
        node.kill().await;
        let other = dir.path().join("other");
        copy(&at, &other);
        let node = RunningNode::start(&at, AGENCY).await;
        submit(&node, "two", 300).await;
        let later = export(&node, &dir.path().join("later")).await;
        node.kill().await;
        let node = RunningNode::start(&other, AGENCY).await;
        submit(&node, "three", 310).await;
        let forked = export(&node, &dir.path().join("forked")).await;
        node.kill().await;
        Self { dir, first, later, forked }
    }

    /// A copy of the later one that may be changed.
    fn altered(&self, name: &str) -> PathBuf {
        let altered = self.dir.path().join(name);
        copy(&self.later, &altered);
        altered
    }

    fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.state"))
    }

    /// Looks once; gives the exit code and the words.
    async fn look(&self, place: &str, state: &Path, more: &[&str]) -> (Option<i32>, String) {
        let card = self.first.join("card.txt");
        let arguments = [&["audit", "watch", place, "--once"], more, &["--card"]].concat();
        let output = liaison(&arguments, &[&card, Path::new("--state"), state]).await;
        let words = [&output.stdout[..], &output.stderr].concat();
        (output.status.code(), String::from_utf8(words).unwrap())
    }
}

async fn submit(node: &RunningNode, way: &str, count: usize) {
    let drafts: Vec<pb::Draft> =
        (0..count).map(|n| indicator(&format!("{way}-{n}.example"), "a note")).collect();
    for drafts in drafts.chunks(64) {
        node.submit(drafts.to_vec()).await;
    }
}

async fn export(node: &RunningNode, out: &Path) -> PathBuf {
    let client = node.profile(ClientRole::Auditor);
    let paths = [out, Path::new("--client"), &client];
    let output = liaison(&["audit", "export", "--out"], &paths).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    out.to_owned()
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_behind_a_file_server_is_followed_until_it_is_not_the_same_history() {
    let exports = Exports::make().await;
    let server = Server::start(&exports.first, None).await;
    let url = server.url();
    let state = exports.state("npa");
    let (code, words) = exports.look(&url, &state, &[]).await;
    assert_eq!(code, Some(0), "{words}");
    assert!(words.starts_with("size 2"), "{words}");
    server.folder(&exports.later);
    let (code, words) = exports.look(&format!("{url}/"), &state, &[]).await;
    assert_eq!(code, Some(0), "{words}");
    assert!(words.starts_with("size 3"), "{words}");
    let seen = std::fs::read(&state).unwrap();

    let note = std::fs::read(exports.forked.join("checkpoint")).unwrap();
    for (export, what) in
        [(&exports.first, "the log had 3"), (&exports.forked, "it is another history: the first 3")]
    {
        server.folder(export);
        let (code, words) = exports.look(&url, &state, &[]).await;
        assert_eq!(code, Some(6), "{words}");
        assert!(words.contains(what) && words.contains("npa.state.refused"), "{words}");
        assert_eq!(std::fs::read(&state).unwrap(), seen, "what was seen stays as it was");
        let refused = exports.dir.path().join("npa.state.refused");
        assert_eq!(std::fs::read(&refused).unwrap() == note, export == &exports.forked);
        std::fs::remove_file(refused).unwrap();
    }
    let other = exports.state("fork");
    server.folder(&exports.first);
    assert_eq!(exports.look(&url, &other, &[]).await.0, Some(0));
    server.folder(&exports.forked);
    let (code, words) = exports.look(&url, &other, &[]).await;
    assert_eq!(code, Some(0), "the fork continues what was seen of it: {words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_or_cut_export_behind_a_file_server_is_bad_and_names_what() {
    let exports = Exports::make().await;
    let server = Server::start(&exports.first, None).await;
    for (path, what) in [
        ("tile/entries/000", "tile/entries/000"),
        ("tile/0/000", "tile/0/000 has"),
        ("checkpoint", "checkpoint"),
    ] {
        let altered = exports.altered(&path.replace('/', "-"));
        flip(&altered.join(path));
        server.folder(&altered);
        let (code, words) = exports.look(&server.url(), &exports.state("a"), &[]).await;
        assert_eq!(code, Some(6), "{path}: {words}");
        assert!(words.contains(what), "{path}: {words}");
    }
    let cut = exports.altered("cut");
    std::fs::remove_file(cut.join("tile/entries/000")).unwrap();
    server.folder(&cut);
    let (code, words) = exports.look(&server.url(), &exports.state("a"), &[]).await;
    assert_eq!(code, Some(6), "{words}");
    assert!(words.contains("tile/entries/000 is missing"), "{words}");
    server.now(Serving::Always("200 OK", vec![b'a'; 1 << 20]));
    let (code, words) = exports.look(&server.url(), &exports.state("a"), &[]).await;
    assert_eq!(code, Some(6), "{words}");
    assert!(words.contains("answered more than"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_answer_is_not_taken_for_a_bad_one() {
    let exports = Exports::make().await;
    let server = Server::start(&exports.first, None).await;
    let state = exports.state("npa");
    let redirect = "302 Found\r\nLocation: http://elsewhere.example/";
    for (status, exit, what) in [
        (redirect, 2, "redirects to http://elsewhere.example/, and redirects are not followed"),
        ("404 Not Found", 3, "there is no export at"),
        ("403 Forbidden", 4, "it answered 403 Forbidden"),
        ("503 Service Unavailable", 8, "it answered 503"),
    ] {
        server.now(Serving::Always(status, Vec::new()));
        let (code, words) = exports.look(&server.url(), &state, &[]).await;
        assert_eq!(code, Some(exit), "{words}");
        assert!(words.contains(what), "{words}");
    }
    assert_eq!(server.asked.lock().unwrap()[..], ["checkpoint"; 4], "nothing else was asked for");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (code, words) = exports.look(&format!("http://{nobody}/a"), &state, &[]).await;
    assert_eq!(code, Some(8), "{words}");
    for (place, more) in
        [("gopher://a/b", &[][..]), ("https://a/b", &[]), (&server.url(), &["--ca", "none.pem"])]
    {
        let (code, words) = exports.look(place, &state, more).await;
        assert!(matches!(code, Some(2 | 3)), "{place}: {words}");
    }
    assert!(!state.exists());
}

/// A certification authority in PEM, and a server that has a certificate of it.
fn tls() -> (String, TlsAcceptor) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (ca_pem, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_https_only_the_authority_that_was_named_is_trusted() {
    let exports = Exports::make().await;
    let (authority, acceptor) = tls();
    let server = Server::start(&exports.later, Some(acceptor)).await;
    let url = server.url().replace("http://", "https://");
    let state = exports.state("npa");
    let write = |name: &str, text: String| {
        let path = exports.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (write("right.pem", authority), write("wrong.pem", tls().0));
    let (code, words) = exports.look(&url, &state, &["--ca", &wrong]).await;
    assert_eq!(code, Some(4), "{words}");
    assert!(words.contains("did not prove its identity"), "{words}");
    assert!(!state.exists());
    let (code, words) = exports.look(&url, &state, &["--ca", &right]).await;
    assert_eq!(code, Some(0), "{words}");
}

/// A watch that goes on.
struct Watching {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    words: Lines<BufReader<ChildStderr>>,
}

impl Watching {
    fn start(arguments: &[&str], paths: &[&Path]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["audit", "watch", "--every", "1"])
            .args(arguments)
            .args(paths)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let words = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, words }
    }

    /// Waits for a head of at least this size.
    async fn sees(&mut self, size: u64) {
        let seen = tokio::time::timeout(DEADLINE, async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                let found = line.strip_prefix("size ").unwrap().split(' ').next().unwrap();
                if found.parse::<u64>().unwrap() >= size {
                    return;
                }
            }
            panic!("it ended: {:?}", self.words.next_line().await);
        });
        seen.await.unwrap();
    }

    /// Waits for a remark.
    async fn says(&mut self, what: &str) {
        let said = tokio::time::timeout(DEADLINE, async {
            while let Some(line) = self.words.next_line().await.unwrap() {
                if line.contains(what) {
                    return;
                }
            }
            panic!("it ended without a word of {what}");
        });
        said.await.unwrap();
    }

    async fn exit(&mut self) -> Option<i32> {
        tokio::time::timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap().code()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_while_nobody_answers_and_ends_at_the_first_bad_answer() {
    let exports = Exports::make().await;
    let server = Server::start(&exports.first, None).await;
    server.now(Serving::Always("503 Service Unavailable", Vec::new()));
    let state = exports.state("npa");
    let url = server.url();
    let card = exports.first.join("card.txt");
    let paths = [Path::new("--card"), &card, Path::new("--state"), &state];
    let mut watching = Watching::start(&[&url], &paths);
    watching.says("asked again every 1 s").await;
    server.folder(&exports.first);
    watching.sees(20).await;
    // Between two exports there may be none.
    server.folder(&exports.dir.path().join("nothing"));
    watching.says("there is no export at").await;
    server.folder(&exports.later);
    watching.sees(300).await;
    server.folder(&exports.forked);
    watching.says("it is another history").await;
    assert_eq!(watching.exit().await, Some(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_node_is_followed_and_another_history_in_its_place_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join(AGENCY);
    make(&at, AGENCY, "police", CORE_ONLY);
    let (client, card) = (at.join("clients/auditor.client"), dir.path().join("card.txt"));
    std::fs::copy(at.join("card.txt"), &card).unwrap();
    let other = dir.path().join("other");
    copy(&at, &other);
    let state = dir.path().join("npa.state");
    let profile = dir.path().join("auditor.client");
    std::fs::copy(&client, &profile).unwrap();
    let paths =
        [Path::new("--client"), &profile, Path::new("--card"), &card, Path::new("--state"), &state];

    // Nobody answers yet.
    let mut watching = Watching::start(&[], &paths);
    watching.says("asked again every 1 s").await;
    let node = RunningNode::start(&at, AGENCY).await;
    submit(&node, "one", 10).await;
    watching.sees(10).await;
    submit(&node, "two", 10).await;
    watching.sees(20).await;
    node.kill().await;
    watching.says("asked again every 1 s").await;

    let aside = dir.path().join("aside");
    std::fs::rename(&at, &aside).unwrap();
    std::fs::rename(&other, &at).unwrap();
    let node = RunningNode::start(&at, AGENCY).await;
    submit(&node, "three", 40).await;
    watching.says("verification failed").await;
    assert_eq!(watching.exit().await, Some(6));
    assert!(dir.path().join("npa.state.refused").exists());
    // The node that was seen first is still as good as it was.
    node.kill().await;
    std::fs::rename(&at, &other).unwrap();
    std::fs::rename(&aside, &at).unwrap();
    let node = RunningNode::start(&at, AGENCY).await;
    let output = liaison(&["audit", "watch", "--once"], &paths).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    node.kill().await;
}
