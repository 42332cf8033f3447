//! The default chain: its order, what ends the search, and what its error says.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use oss_append::Error;
use oss_append::credentials::{CachedCredentials, CredentialsProvider, DefaultChain};
use tempfile::TempDir;

use super::{SECRET, error, fetch, id, key_json, nobody, ok, status, sts_key, temporary};
use crate::support::server::{Play, ScriptedServer};

/// An environment with a home directory and the services that some places need.
struct World {
    variables: Arc<Mutex<HashMap<String, String>>>,
    home: TempDir,
    sts: ScriptedServer,
    /// `None`: nobody answers.
    metadata: Option<ScriptedServer>,
}

impl World {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let world = Self {
            variables: Arc::default(),
            sts: ScriptedServer::start((0..10).map(|_| ok(&sts_key("oidc")))).await,
            metadata: None,
            home,
        };
        world.set("HOME", world.home.path().to_str().unwrap());
        world
    }

    fn set(&self, name: &str, value: &str) {
        let mut variables = self.variables.lock().unwrap();
        variables.insert(name.to_owned(), value.to_owned());
    }

    fn unset(&self, name: &str) {
        self.variables.lock().unwrap().remove(name);
    }

    fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn chain(&self) -> CachedCredentials {
        let variables = self.variables.clone();
        let metadata = match &self.metadata {
            Some(server) => server.endpoint(),
            None => nobody(),
        };
        DefaultChain::new()
            .variables(move |name| Some(variables.lock().unwrap().get(name)?.into()))
            .sts_endpoint(self.sts.endpoint())
            .metadata_endpoint(metadata)
            .build()
    }

    fn set_key(&self, prefix: &str, id: &str) {
        self.set(&format!("{prefix}_ACCESS_KEY_ID"), id);
        self.set(&format!("{prefix}_ACCESS_KEY_SECRET"), SECRET);
    }

    fn set_oidc(&self) {
        let token = self.write("token", "MARKED-OIDC");
        self.set("ALIBABA_CLOUD_ROLE_ARN", "role");
        self.set("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "provider");
        self.set("ALIBABA_CLOUD_OIDC_TOKEN_FILE", token.to_str().unwrap());
    }

    fn write_cli(&self) {
        let key = cli("cli");
        self.write(".aliyun/config.json", &key);
    }

    fn write_ini(&self) {
        self.write(".alibabacloud/credentials", &ini("ini"));
    }

    async fn on_ecs(&mut self) {
        let play = (0..5).flat_map(|_| [ok("t"), ok("role"), ok(&key_json("ecs"))]);
        self.metadata = Some(ScriptedServer::start(play).await);
    }
}

fn cli(id: &str) -> String {
    format!(
        r#"{{"current":"p","profiles":[{{"name":"p","mode":"AK","access_key_id":"{id}",
            "access_key_secret":"{SECRET}"}}]}}"#
    )
}

fn ini(id: &str) -> String {
    format!("[default]\ntype=access_key\naccess_key_id={id}\naccess_key_secret={SECRET}\n")
}

#[tokio::test]
async fn the_order_is_that_of_the_sdks() {
    let uri = ScriptedServer::start((0..10).map(|_| ok(&key_json("uri")))).await;
    let mut world = World::new().await;
    world.set("ALIBABA_CLOUD_CREDENTIALS_URI", &uri.endpoint());
    assert_eq!(id(&world.chain().await).await, "uri");
    world.on_ecs().await;
    assert_eq!(id(&world.chain().await).await, "ecs");
    world.write_ini();
    assert_eq!(id(&world.chain().await).await, "ini");
    world.write_cli();
    assert_eq!(id(&world.chain().await).await, "cli");
    world.set_oidc();
    assert_eq!(id(&world.chain().await).await, "oidc");
    world.set_key("ALIBABA_CLOUD", "alibaba");
    assert_eq!(id(&world.chain().await).await, "alibaba");
    world.set_key("OSS", "oss");
    assert_eq!(id(&world.chain().await).await, "oss");
}

#[tokio::test]
async fn where_there_is_nothing_the_error_says_what_was_tried_and_why_it_failed() {
    let world = World::new().await;
    let error = error(&world.chain().await).await;
    assert!(!temporary(&error), "nobody is waited for in vain");
    let home = world.home.path().display();
    let said = error.to_string();
    let (tried, ecs) = said.split_once("; ECS role: ").unwrap();
    assert_eq!(
        tried,
        format!(
            "no credentials: the default chain has found none: \
             OSS variables: OSS_ACCESS_KEY_ID is not set; \
             Alibaba Cloud variables: ALIBABA_CLOUD_ACCESS_KEY_ID is not set; \
             OIDC role: ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set; \
             CLI profile: there is no file {home}/.aliyun/config.json; \
             ini profile: there is no file {home}/.alibabacloud/credentials"
        )
    );
    assert!(
        ecs.starts_with("the metadata token: no answer from 127.0.0.1:"),
        "{ecs}"
    );
    let ends = "; credentials URI: ALIBABA_CLOUD_CREDENTIALS_URI is not set";
    assert!(ecs.ends_with(ends), "{ecs}");
}

/// What the chain says when a place that is configured fails while another behind it would work.
async fn ends_the_search(world: &World) -> Error {
    let error = error(&world.chain().await).await;
    let ends = "; what comes after it was not looked at, since it is configured";
    assert!(error.to_string().ends_with(ends), "{error}");
    error
}

#[tokio::test]
async fn what_is_configured_and_does_not_work_is_never_replaced_by_another_identity() {
    let with = |set: fn(&World)| async move {
        let mut world = World::new().await;
        world.on_ecs().await;
        set(&world);
        let error = ends_the_search(&world).await;
        assert!(world.metadata.unwrap().requests().is_empty());
        error.to_string()
    };
    for (set, says) in [
        (
            (|world| world.set("OSS_ACCESS_KEY_ID", "id")) as fn(&World),
            "OSS variables: the environment variable OSS_ACCESS_KEY_SECRET is not set",
        ),
        (
            |world| world.set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "MARKED"),
            "Alibaba Cloud variables: the environment variable ALIBABA_CLOUD_ACCESS_KEY_ID is not",
        ),
        (
            |world| world.set("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "x"),
            "OIDC role: the environment variable ALIBABA_CLOUD_ROLE_ARN is not set",
        ),
        (
            |world| {
                world.set_oidc();
                world.set("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/no/such/file");
            },
            "OIDC role: the OIDC token: the file /no/such/file cannot be read",
        ),
        (
            |world| drop(world.write(".aliyun/config.json", "MARKED")),
            "is not JSON (line 1, column 1)",
        ),
        (
            |world| drop(world.write(".alibabacloud/credentials", "MARKED")),
            "is not an ini file (line 1)",
        ),
        (
            |world| world.set("ALIBABA_CLOUD_CONFIG_FILE", "/no/such/file"),
            "CLI profile: the profile: the file /no/such/file cannot be read",
        ),
        (
            |world| world.set("ALIBABA_CLOUD_CREDENTIALS_FILE", "/no/such/file"),
            "ini profile: the profile: the file /no/such/file cannot be read",
        ),
        (
            |world| {
                world.write_cli();
                world.write_ini();
                world.set("ALIBABA_CLOUD_PROFILE", "typo");
            },
            "and ALIBABA_CLOUD_PROFILE asks for \"typo\"",
        ),
    ] {
        let said = with(set).await;
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[tokio::test]
async fn a_service_that_is_down_is_waited_for_and_not_replaced() {
    let mut world = World::new().await;
    world.on_ecs().await;
    world.set_oidc();
    world.sts = ScriptedServer::start([status("503 Busy"), ok(&sts_key("oidc"))]).await;
    let chain = world.chain().await;
    let error = error(&chain).await;
    assert!(
        temporary(&error) && error.to_string().contains("answered 503"),
        "{error}"
    );
    let found = loop {
        // Until the pause after the failure is over.
        match chain.credentials().await {
            Ok(found) => break found,
            Err(_) => tokio::time::sleep(crate::support::MS).await,
        }
    };
    assert_eq!(found.access_key_id(), "oidc");
}

#[tokio::test]
async fn an_instance_without_a_named_role_is_passed_over_and_one_with_is_not() {
    let uri = ScriptedServer::start((0..2).map(|_| ok(&key_json("uri")))).await;
    let metadata = |wrong: Play| ScriptedServer::start([ok("t"), wrong]);
    let mut world = World::new().await;
    world.set("ALIBABA_CLOUD_CREDENTIALS_URI", &uri.endpoint());
    world.metadata = Some(metadata(status("404 None")).await);
    assert_eq!(id(&world.chain().await).await, "uri");

    world.metadata = Some(metadata(status("404 None")).await);
    world.set("ALIBABA_CLOUD_ECS_METADATA", "named");
    let error = ends_the_search(&world).await;
    assert!(
        error.to_string().contains("role named: http://127.0.0.1"),
        "{error}"
    );
    world.unset("ALIBABA_CLOUD_ECS_METADATA");

    // On an instance that cannot answer just now.
    world.unset("ALIBABA_CLOUD_CREDENTIALS_URI");
    world.metadata = Some(metadata(status("503 Busy")).await);
    let error = super::error(&world.chain().await).await;
    assert!(temporary(&error), "{error}");
}

#[tokio::test]
async fn places_can_be_disabled() {
    let mut world = World::new().await;
    world.on_ecs().await;
    world.write_cli();
    world.set("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "True");
    assert_eq!(id(&world.chain().await).await, "ecs");
    world.set("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true");
    let error = error(&world.chain().await).await.to_string();
    for name in ["CLI_PROFILE", "ECS_METADATA"] {
        let says = format!("disabled by ALIBABA_CLOUD_{name}_DISABLED");
        assert!(error.contains(&says), "{error}");
    }
}

#[tokio::test]
async fn the_normal_mode_of_the_metadata_service_can_be_forbidden() {
    let mut world = World::new().await;
    world.metadata = Some(ScriptedServer::start([status("403 No")]).await);
    world.set("ALIBABA_CLOUD_IMDSV1_DISABLED", "true");
    let error = error(&world.chain().await).await;
    assert!(error.to_string().contains("the metadata token"), "{error}");
    assert_eq!(world.metadata.unwrap().requests().len(), 1);
}

#[tokio::test]
async fn what_worked_is_used_from_then_on() {
    let world = World::new().await;
    world.write_ini();
    let chain = world.chain().await;
    let first = fetch(&chain).await;
    world.set_key("OSS", "oss");
    world.write(".alibabacloud/credentials", &ini("new"));
    chain.invalidate(&first);
    let second = fetch(&chain).await;
    assert_eq!(second.access_key_id(), "new");
    std::fs::remove_file(world.home.path().join(".alibabacloud/credentials")).unwrap();
    chain.invalidate(&second);
    let error = error(&chain).await.to_string();
    assert!(
        error.contains("ini profile, which was used so far: there is no file"),
        "{error}"
    );
    assert_eq!(
        format!("{chain:?}"),
        "CachedCredentials(DefaultChain(Some(IniProfile)))"
    );
}

#[tokio::test]
async fn the_files_and_the_profile_can_be_named() {
    let world = World::new().await;
    world.write_cli();
    world.write_ini();
    let elsewhere = world.write(
        "elsewhere.json",
        &cli("elsewhere").replace("\"p\"", "\"other\""),
    );
    world.set("ALIBABA_CLOUD_CONFIG_FILE", elsewhere.to_str().unwrap());
    assert_eq!(id(&world.chain().await).await, "elsewhere");
    world.set("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true");
    let elsewhere = world.write("elsewhere.ini", &ini("of ini").replace("default", "named"));
    world.set(
        "ALIBABA_CLOUD_CREDENTIALS_FILE",
        elsewhere.to_str().unwrap(),
    );
    world.set("ALIBABA_CLOUD_PROFILE", "named");
    assert_eq!(id(&world.chain().await).await, "of ini");
}

#[tokio::test]
async fn a_profile_that_one_file_has_not_is_looked_for_in_the_other() {
    let world = World::new().await;
    world.write_cli();
    world.write(
        ".alibabacloud/credentials",
        &ini("ini").replace("default", "named"),
    );
    world.set("ALIBABA_CLOUD_PROFILE", "named");
    assert_eq!(id(&world.chain().await).await, "ini");
}

#[tokio::test]
async fn a_profile_that_nobody_has_configured_is_passed_over() {
    let world = World::new().await;
    let empty = cli("").replace(SECRET, "");
    world.write(".aliyun/config.json", &empty);
    // The older name of the file.
    world.write(".alibabacloud/credentials.ini", &ini("ini"));
    assert_eq!(id(&world.chain().await).await, "ini");
}

#[tokio::test]
async fn without_a_home_the_profiles_are_passed_over() {
    let mut world = World::new().await;
    world.on_ecs().await;
    world.write_cli();
    world.unset("HOME");
    assert_eq!(id(&world.chain().await).await, "ecs");
    world.set("USERPROFILE", world.home.path().to_str().unwrap());
    assert_eq!(id(&world.chain().await).await, "cli");
}
