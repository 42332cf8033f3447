//! Proxies: used where they are set, passed by where they are not to be used, and not told more
//! than they need.

use std::net::SocketAddr;

use oss_append::client::Addressing;
use oss_append::credentials::StaticCredentials;
use oss_append::emulator::Emulator;
use oss_append::{
    AppendStore, Error, ErrorKind, OssAppendWriter, OssClient, OssClientBuilder, TransportCause,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::connect::ConnectProxy;
use crate::support::emulated::{content, start};
use crate::support::tls::{Authority, TlsServer};

/// A name that no resolver knows.
const NAME: &str = "oss.example.invalid";
const PORT: u16 = 9443;

struct Place {
    emulator: Emulator,
    server: TlsServer,
    authority: Authority,
}

async fn place() -> Place {
    let (emulator, authority) = (start().await, Authority::new());
    let server = TlsServer::start(&emulator, authority.identity(NAME)).await;
    Place {
        emulator,
        server,
        authority,
    }
}

impl Place {
    fn client(&self) -> OssClientBuilder {
        self.emulator
            .client()
            .endpoint(format!("https://{NAME}:{PORT}"))
            .addressing(Addressing::Path)
            .root_certificates(self.authority.pem())
            .platform_roots(false)
    }
}

async fn write(client: OssClientBuilder) -> Result<(), Error> {
    let mut writer = OssAppendWriter::builder(client.build()?, crate::support::object())
        .open()
        .await?;
    writer.write_all(b"by proxy").await.unwrap();
    writer.shutdown().await
}

/// The error of one request.
async fn refused(client: OssClientBuilder) -> Error {
    let client = client.build().unwrap();
    let looked = client.head_object(&crate::support::object()).send().await;
    looked.unwrap_err()
}

/// The error with all that caused it.
fn told(error: &Error) -> String {
    format!("{}{error:?}", crate::support::causes(error))
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_and_sees_nothing_of_the_request() {
    let place = place().await;
    let proxy = ConnectProxy::start(place.server.address, None).await;
    let client = place.client().proxy(format!("http://{}", proxy.address));
    write(client).await.unwrap();
    assert_eq!(content(&place.emulator), b"by proxy");
    let asked = proxy.asked();
    assert!(!asked.is_empty());
    for line in asked {
        assert_eq!(line, format!("CONNECT {NAME}:{PORT} HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_proxy_is_shown_its_user_and_password() {
    let place = place().await;
    // user:pass/word
    let expected = "Basic dXNlcjpwYXNzL3dvcmQ=";
    let proxy = ConnectProxy::start(place.server.address, Some(expected)).await;
    let client = place
        .client()
        .proxy(format!("http://user:pass%2Fword@{}", proxy.address));
    write(client).await.unwrap();
    assert_eq!(content(&place.emulator), b"by proxy");
}

#[tokio::test]
async fn a_refusal_of_the_proxy_is_told_without_the_password() {
    let place = place().await;
    let proxy = ConnectProxy::start(place.server.address, Some("Basic bm90OnRoaXM=")).await;
    let client = place
        .client()
        .proxy(format!("http://user:hush-hush@{}", proxy.address));
    let shown = format!("{client:?}");
    let error = refused(client).await;
    let told = told(&error) + &shown;
    assert!(told.contains("proxy"), "{told}");
    assert!(!told.contains("hush"), "{told}");
    assert!(place.emulator.requests().is_empty());
}

#[tokio::test]
async fn a_dead_proxy_is_not_gone_around() {
    let place = place().await;
    let address = crate::support::nobody();
    let client = place
        .client()
        .resolve(NAME, [place.server.address])
        .proxy(format!("http://{address}"));
    let error = refused(client).await;
    let ErrorKind::Transport { cause, .. } = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(*cause, TransportCause::Connect);
    assert_eq!(place.server.connections(), 0);
}

#[tokio::test]
async fn hosts_that_are_excepted_are_connected_to_directly() {
    let place = place().await;
    let proxy = ConnectProxy::start(place.server.address, None).await;
    let client = || {
        place
            .client()
            .endpoint(format!("https://{NAME}:{}", place.server.address.port()))
            .resolve(NAME, [place.server.address])
            .proxy(format!("http://{}", proxy.address))
    };
    write(client().no_proxy("10.0.0.0/8, example.invalid"))
        .await
        .unwrap();
    assert_eq!(content(&place.emulator), b"by proxy");
    assert_eq!(proxy.asked(), [""; 0]);

    write(client().no_proxy("ample.invalid")).await.unwrap();
    assert!(!proxy.asked().is_empty());
}

#[tokio::test]
async fn exceptions_have_the_forms_that_users_of_other_programs_know() {
    let place = place().await;
    let port = place.server.address.port();
    let proxy = ConnectProxy::start(place.server.address, None).await;
    let client = |except: &str| {
        place
            .client()
            .endpoint(format!("https://{NAME}:{port}"))
            .resolve(NAME, [place.server.address])
            .proxy(format!("http://{}", proxy.address))
            .no_proxy(except)
    };
    for except in [
        "*.invalid",
        ".example.invalid",
        "*",
        &format!("{NAME}:{port}"),
        &format!("*.invalid:{port}"),
    ] {
        write(client(except)).await.unwrap();
        assert_eq!(proxy.asked(), [""; 0], "{except}");
    }
    write(client(&format!("{NAME}:{}", port ^ 1)))
        .await
        .unwrap();
    assert!(!proxy.asked().is_empty());
}

/// The environment of the process decides: the test runs itself again as a child.
#[tokio::test]
async fn the_exceptions_of_the_environment_count_for_requests_and_lanes() {
    const TEST: &str = "proxy::the_exceptions_of_the_environment_count_for_requests_and_lanes";
    if let Ok(address) = std::env::var("OSS_APPEND_TEST_ADDRESS") {
        let client = OssClientBuilder::from_env()
            .addressing(Addressing::Path)
            .resolve(NAME, [address.parse().unwrap()]);
        let client = client.build().unwrap();
        let object = crate::support::object();
        let writer = OssAppendWriter::builder(client, object)
            .max_in_flight(2)
            .delivery_timeout(std::time::Duration::from_millis(200));
        let written = async {
            let mut writer = writer.open().await?;
            for _ in 0..3 {
                writer.write_all(b"x").await?;
                writer.sync().await?;
            }
            writer.shutdown().await?;
            Ok::<_, Error>(())
        };
        match written.await {
            Ok(()) => println!("written"),
            Err(error) => println!("failed: {}", told(&error)),
        }
        return;
    }
    let emulator = start().await;
    let (port, proxy) = (emulator.address().port(), crate::support::nobody());
    let exact = format!("other.example,{NAME}:{port}");
    for (variable, except, direct) in [
        ("NO_PROXY", "*.example.invalid", true),
        ("no_proxy", ".invalid\n", true),
        ("no_proxy", &*exact, true),
        ("NO_PROXY", "*", true),
        ("NO_PROXY", "example.invalid:1", false),
        ("NO_PROXY", "", false),
    ] {
        let before = emulator.requests().len();
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", TEST, "--nocapture"])
            .env_clear()
            .env("OSS_APPEND_TEST_ADDRESS", emulator.address().to_string())
            .env("OSS_ENDPOINT", format!("http://{NAME}:{port}"))
            .env("OSS_REGION", emulator.region())
            .env("OSS_ACCESS_KEY_ID", oss_append::emulator::ACCESS_KEY_ID)
            .env(
                "OSS_ACCESS_KEY_SECRET",
                oss_append::emulator::ACCESS_KEY_SECRET,
            )
            .env("http_proxy", format!("http://{proxy}"))
            .env(variable, except)
            .kill_on_drop(true);
        let output = child.output().await.unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(said.contains("written"), direct, "{except:?} {said}");
        assert_eq!(emulator.requests().len() > before, direct, "{except:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_set_counts_for_loopback_too() {
    let emulator = start().await;
    let address = crate::support::nobody();
    let client = emulator.client().proxy(format!("http://{address}"));
    refused(client).await;
    assert!(emulator.requests().is_empty());
}

#[test]
fn options_that_do_not_go_together_are_refused_when_it_is_built() {
    let client = || {
        OssClient::builder()
            .region("cn-hangzhou")
            .credentials(StaticCredentials::new("id", "secret"))
    };
    for (builder, what) in [
        (client().proxy("hush:hush@proxy"), "proxy"),
        (client().proxy("ftp://hush:hush@proxy"), "proxy"),
        (client().proxy("http://hush:hush@"), "proxy"),
        (client().no_proxy("example.com"), "no_proxy"),
        (
            client()
                .proxy("http://proxy")
                .no_proxy("a,http://example.com"),
            "http://example.com",
        ),
        (client().connect_timeout(std::time::Duration::ZERO), "zero"),
        (
            client().http_client(reqwest::Client::new()).without_proxy(),
            "HTTP client",
        ),
    ] {
        let error = builder.build().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        let told = told(&error);
        assert!(told.contains(what) && !told.contains("hush"), "{told}");
    }
}

/// Passes each connection on to `server`, whatever host it was asked for (RFC 1928). Tells the hosts.
async fn socks(server: SocketAddr) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, hosts) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut greeting = [0; 2];
                client.read_exact(&mut greeting).await?;
                client.read_exact(&mut vec![0; greeting[1].into()]).await?;
                client.write_all(&[5, 0]).await?;
                let mut wanted = [0; 5];
                client.read_exact(&mut wanted).await?;
                assert_eq!(wanted[..4], [5, 1, 0, 3], "it connects to a name");
                let mut host = vec![0; wanted[4].into()];
                client.read_exact(&mut host).await?;
                client.read_u16().await?;
                let _ = asked.send(String::from_utf8(host).unwrap());
                client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (address, hosts)
}

#[tokio::test]
async fn a_socks_proxy_resolves_the_name_and_takes_the_way_of_one_append_at_a_time() {
    let place = place().await;
    let (address, mut hosts) = socks(place.server.address).await;
    let client = || place.client().proxy(format!("socks5h://{address}"));
    let lane = client().build().unwrap().lane(&crate::support::object());
    assert!(lane.is_none());
    write(client()).await.unwrap();
    assert_eq!(content(&place.emulator), b"by proxy");
    assert_eq!(hosts.recv().await.unwrap(), NAME);
}
