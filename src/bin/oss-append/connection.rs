//! Where a command's requests go: OSS by the environment and options, or a server of its own.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use oss_append::client::Addressing;
use oss_append::credentials::{
    CredentialsProvider, DefaultChain, EcsRole, EnvironmentCredentials, ProfileFile,
    StaticCredentials,
};
use oss_append::emulator::{ACCESS_KEY_ID, Emulator, Fsync, REGION};
use oss_append::{ObjectPath, OssClient, OssClientBuilder};

use crate::failure::Failure;
use crate::output;

/// What the environment is asked for, for `--help`.
pub(crate) const HELP: &str = "\
Environment:
  OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET
                     the access key; never taken from the command line
  OSS_SESSION_TOKEN  the security token of a temporary key
  ALIBABA_CLOUD_...  what the official SDKs know: keys, an OIDC role (RRSA) and its STS, profiles,
                     the ECS instance's role, a URI; looked at unless OSS_ACCESS_KEY_ID is set
  OSS_REGION         the bucket's region, unless --region is given
  OSS_ENDPOINT       the endpoint, unless --endpoint is given
  RUST_LOG           what is logged on standard error, such as debug; nothing by default";

#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// The bucket's region, such as cn-hangzhou [default: OSS_REGION, else that of the endpoint]
    #[arg(long)]
    region: Option<String>,
    /// The endpoint: https://HOST, http://HOST:PORT, or HOST for https [default: OSS_ENDPOINT, else
    /// the region's public endpoint]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Name the bucket in the path instead of the host name, as an endpoint that is an IP address
    /// or localhost does anyway
    #[arg(long)]
    path_style: bool,
    /// Where the access key comes from
    #[arg(long, value_enum, default_value_t = Source::Chain)]
    credentials: Source,
    /// Start an OSS server in this process that keeps its objects in DIR, and use that instead of
    /// OSS; no environment is needed. What writes makes DIR and the bucket if they are missing, and
    /// each append is on the disk before it counts; what only reads changes nothing in DIR
    #[arg(long, value_name = "DIR", conflicts_with_all = ["region", "endpoint", "path_style", "credentials"])]
    embedded: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Source {
    /// Where the official SDKs look, in their order: the variables OSS_ACCESS_KEY_ID and so on, then
    /// ALIBABA_CLOUD_ACCESS_KEY_ID and so on, an OIDC role, the profiles of the command line and of
    /// the SDKs, the role of the ECS instance (a second where there is none), a URI. What is
    /// configured first is used, or the command fails
    Chain,
    /// The variables OSS_ACCESS_KEY_ID and so on alone
    Environment,
    /// The RAM role of the ECS instance, by its metadata service
    EcsRole,
    /// The profile of the aliyun command line, ~/.aliyun/config.json
    Profile,
}

impl Source {
    fn provider(self) -> Result<Arc<dyn CredentialsProvider>, Failure> {
        Ok(match self {
            Self::Environment => Arc::new(EnvironmentCredentials::new()),
            Self::Chain => Arc::new(DefaultChain::new().build()),
            Self::EcsRole => Arc::new(EcsRole::from_env()?.build()?),
            Self::Profile => Arc::new(ProfileFile::cli().build()),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Environment => "the environment",
            Self::Chain => "the default chain",
            Self::EcsRole => "the ECS instance's role",
            Self::Profile => "the profile",
        }
    }
}

/// A client, with its server if that is in this process.
pub(crate) struct Connection {
    client: OssClient,
    credentials: Arc<dyn CredentialsProvider>,
    credentials_from: &'static str,
    embedded: Option<Emulator>,
}

impl ConnectionArguments {
    /// Makes the client. Nothing is sent. An embedded server keeps on the disk what it acknowledges:
    /// it is said to be durable.
    pub(crate) async fn open(&self, object: &ObjectPath) -> Result<Connection, Failure> {
        self.open_for(object, false).await
    }

    /// Makes a client that only reads.
    pub(crate) async fn open_to_read(&self, object: &ObjectPath) -> Result<Connection, Failure> {
        self.open_for(object, true).await
    }

    async fn open_for(&self, object: &ObjectPath, to_read: bool) -> Result<Connection, Failure> {
        let Some(directory) = &self.embedded else {
            let credentials = self.credentials.provider()?;
            return Ok(Connection {
                client: self.client(Arc::clone(&credentials))?,
                credentials,
                credentials_from: self.credentials.name(),
                embedded: None,
            });
        };
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let emulator = Emulator::builder()
            .directory(directory)
            .read_only(to_read)
            .fsync(Fsync::Always)
            // Others on this machine do not know it.
            .credentials(ACCESS_KEY_ID, &secret)
            .bucket(object.bucket())
            .sealing(true)
            .start()
            .await
            .map_err(Failure::of_server)?;
        for damaged in emulator.damaged() {
            output::complain(damaged);
        }
        Ok(Connection {
            client: emulator.client().build()?,
            credentials: Arc::new(StaticCredentials::new(ACCESS_KEY_ID, secret)),
            credentials_from: "the embedded server",
            embedded: Some(emulator),
        })
    }

    fn client(&self, credentials: Arc<dyn CredentialsProvider>) -> Result<OssClient, Failure> {
        let mut builder = OssClientBuilder::from_env().credentials(credentials);
        if let Some(region) = &self.region {
            builder = builder.region(region);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if self.path_style {
            builder = builder.addressing(Addressing::Path);
        }
        let region_given = self.region.is_some()
            || std::env::var("OSS_REGION").is_ok_and(|set| !set.trim().is_empty());
        builder.build().map_err(|error| {
            let failure = Failure::from(error);
            match region_given {
                true => failure,
                false => failure.and(format!(
                    "set OSS_REGION or give --region (an emulator's is {REGION} unless it was \
                     told otherwise)"
                )),
            }
        })
    }
}

impl Connection {
    pub(crate) fn client(&self) -> OssClient {
        self.client.clone()
    }

    pub(crate) fn credentials(&self) -> Arc<dyn CredentialsProvider> {
        Arc::clone(&self.credentials)
    }

    /// Where the credentials come from, in words.
    pub(crate) fn credentials_from(&self) -> &'static str {
        self.credentials_from
    }

    /// Ends the server of this process, so that its directory is complete.
    pub(crate) async fn close(self) {
        if let Some(emulator) = self.embedded {
            emulator.shutdown().await;
        }
    }
}
