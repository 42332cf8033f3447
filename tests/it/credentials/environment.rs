//! What the environment of the process decides: each test runs itself again as a child.

use std::process::Stdio;

use oss_append::OssClientBuilder;
use oss_append::credentials::{
    AssumeRole, CredentialsProcess, CredentialsProvider, CredentialsUri, DefaultChain, EcsRole,
    EnvironmentCredentials, ProfileFile,
};
use tokio::process::Command;

use super::{SECRET, TOKEN, form, key_json, nobody, ok, sts_key};
use crate::support::server::ScriptedServer;

const CHILD: &str = "OSS_APPEND_TEST_CHILD";

/// Whether this process is a child.
fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Tells the parent what came out.
async fn tell(provider: oss_append::Result<impl CredentialsProvider>) {
    let outcome = match provider {
        Ok(provider) => provider.credentials().await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(got) => println!("got {}/{:?}", got.access_key_id(), got.session_token()),
        Err(error) => println!("error {error}"),
    }
}

/// What the child of this test tells in this environment, and in no other.
async fn told(test: &str, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args([
            "--exact",
            &format!("credentials::environment::{test}"),
            "--nocapture",
        ])
        .env_clear()
        .env(CHILD, "")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = child.output().await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[tokio::test]
async fn the_variables_of_either_family_are_read() {
    if is_child() {
        tell(Ok(EnvironmentCredentials::new())).await;
        tell(Ok(EnvironmentCredentials::alibaba_cloud())).await;
        return;
    }
    let environment = [
        ("OSS_ACCESS_KEY_ID", "oss"),
        ("OSS_ACCESS_KEY_SECRET", SECRET),
        ("OSS_SESSION_TOKEN", TOKEN),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "alibaba"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET),
    ];
    let told = told("the_variables_of_either_family_are_read", &environment).await;
    assert!(told.contains("got oss/Some(\"MARKED-TOKEN\")"), "{told}");
    assert!(told.contains("got alibaba/None"), "{told}");
}

#[tokio::test]
async fn an_oidc_role_goes_by_its_variables() {
    if is_child() {
        let endpoint = std::env::var("STS").unwrap();
        let role = AssumeRole::oidc_from_env();
        tell(role.and_then(|role| role.endpoint(endpoint).build())).await;
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "the-token").unwrap();
    let sts = ScriptedServer::start([ok(&sts_key("STS.1"))]).await;
    let endpoint = sts.endpoint();
    let environment = [
        ("STS", &*endpoint),
        ("ALIBABA_CLOUD_ROLE_ARN", "role"),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "provider"),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", token.to_str().unwrap()),
        ("ALIBABA_CLOUD_ROLE_SESSION_NAME", "session"),
    ];
    let test = "an_oidc_role_goes_by_its_variables";
    let told_all = told(test, &environment).await;
    assert!(told_all.contains("got STS.1/"), "{told_all}");
    let form = form(&sts.request());
    assert_eq!(form["RoleArn"], "role");
    assert_eq!(form["OIDCProviderArn"], "provider");
    assert_eq!(form["OIDCToken"], "the-token");
    assert_eq!(form["RoleSessionName"], "session");

    let told_less = told(test, &environment[..3]).await;
    let says = "error no credentials: the environment variable ALIBABA_CLOUD_OIDC_TOKEN_FILE";
    assert!(told_less.contains(says), "{told_less}");
}

#[tokio::test]
async fn the_sts_of_the_environment_is_asked() {
    if is_child() {
        tell(AssumeRole::oidc_from_env().and_then(AssumeRole::build)).await;
        tell(AssumeRole::new(EnvironmentCredentials::new(), "role").build()).await;
        tell(Ok(ProfileFile::cli().build())).await;
        tell(Ok(DefaultChain::new().build())).await;
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "the-token").unwrap();
    let profile = home.path().join("config.json");
    std::fs::write(
        &profile,
        r#"{"current":"p","profiles":[{"name":"p","mode":"RamRoleArn","ram_role_arn":"role",
            "access_key_id":"id","access_key_secret":"s"}]}"#,
    )
    .unwrap();
    let keys = (0..4).map(|n| ok(&sts_key(&format!("STS.{n}"))));
    let sts = ScriptedServer::start(keys).await;
    let endpoint = sts.endpoint();
    let environment = [
        ("OSS_ACCESS_KEY_ID", "id\n"),
        ("OSS_ACCESS_KEY_SECRET", "secret\n"),
        ("ALIBABA_CLOUD_ROLE_ARN", "role"),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "provider"),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", token.to_str().unwrap()),
        ("ALIBABA_CLOUD_CONFIG_FILE", profile.to_str().unwrap()),
        ("ALIBABA_CLOUD_STS_ENDPOINT", &*endpoint),
        // Of less weight than the endpoint, and nobody's.
        ("ALIBABA_CLOUD_STS_REGION", "nowhere"),
    ];
    let test = "the_sts_of_the_environment_is_asked";
    let got = told(test, &environment).await;
    for n in 0..3 {
        assert!(got.contains(&format!("got STS.{n}/")), "{got}");
    }
    // Keys come before a role in the chain.
    assert!(got.contains("got id/None"), "{got}");
    let got = told(test, &environment[2..]).await;
    assert!(got.contains("got STS.3/"), "{got}");
}

#[tokio::test]
async fn a_client_that_goes_by_the_environment_refuses_what_cannot_be_meant_there() {
    if is_child() {
        let built = OssClientBuilder::from_env().build();
        match built {
            Ok(client) => println!("goes to {client:?}"),
            Err(error) => println!("error {error}"),
        }
        let other = OssClientBuilder::from_env()
            .region("cn-beijing")
            .endpoint("http://127.0.0.1:1");
        println!(
            "{}",
            other
                .build()
                .map(|client| client.region().to_owned())
                .unwrap()
        );
        return;
    }
    let test = "a_client_that_goes_by_the_environment_refuses_what_cannot_be_meant_there";
    let trimmed = [("OSS_REGION", " cn-hangzhou\r\n"), ("OSS_ENDPOINT", "\n")];
    let got = told(test, &trimmed).await;
    assert!(
        got.contains("https://oss-cn-hangzhou.aliyuncs.com"),
        "{got}"
    );
    for (name, value) in [
        ("OSS_REGION", "\"cn-hangzhou\""),
        ("OSS_ENDPOINT", "'http://127.0.0.1:1'"),
        ("OSS_REGION", "cn-hangzhou\ncn-beijing"),
    ] {
        let got = told(test, &[(name, value)]).await;
        let says = format!("error the environment variable {name} has a ");
        assert!(got.contains(&says), "{got}");
        // What the program says counts more.
        assert!(got.contains("\ncn-beijing\n"), "{got}");
    }
}

#[tokio::test]
async fn no_keys_in_the_environment_are_told_with_where_else_there_may_be_some() {
    if is_child() {
        tell(Ok(EnvironmentCredentials::new())).await;
        return;
    }
    let test = "no_keys_in_the_environment_are_told_with_where_else_there_may_be_some";
    let got = told(test, &[("OSS_ACCESS_KEY_ID", " \n")]).await;
    for part in ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "DefaultChain"] {
        assert!(got.contains(part), "{got}");
    }
    let half = told(test, &[("OSS_ACCESS_KEY_ID", "id")]).await;
    let says = "error no credentials: the environment variable OSS_ACCESS_KEY_SECRET is not set";
    assert!(half.contains(says), "{half}");
    let quoted = [
        ("OSS_ACCESS_KEY_ID", "id"),
        ("OSS_ACCESS_KEY_SECRET", "\"MARKED\""),
    ];
    let quoted = told(test, &quoted).await;
    assert!(
        quoted.contains("OSS_ACCESS_KEY_SECRET has a quotation mark") && !quoted.contains("MARKED"),
        "{quoted}"
    );
}

#[tokio::test]
async fn the_instances_role_goes_by_its_variables() {
    if is_child() {
        let endpoint = std::env::var("METADATA").unwrap();
        let role = EcsRole::from_env();
        tell(role.and_then(|role| role.endpoint(endpoint).build())).await;
        return;
    }
    let test = "the_instances_role_goes_by_its_variables";
    let metadata = ScriptedServer::start([ok("t"), ok(&key_json("STS.1"))]).await;
    let endpoint = metadata.endpoint();
    let named = [
        ("METADATA", &*endpoint),
        ("ALIBABA_CLOUD_ECS_METADATA", "named"),
    ];
    let got = told(test, &named).await;
    assert!(got.contains("got STS.1/"), "{got}");
    assert!(metadata.requests()[1].target.ends_with("/named"));

    let metadata = ScriptedServer::start([super::status("403 No")]).await;
    let endpoint = metadata.endpoint();
    let hardened = [
        ("METADATA", &*endpoint),
        ("ALIBABA_CLOUD_IMDSV1_DISABLED", "TRUE"),
    ];
    let got = told(test, &hardened).await;
    assert!(got.contains("answered 403"), "{got}");

    let disabled = [
        ("METADATA", &*endpoint),
        ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true"),
    ];
    let got = told(test, &disabled).await;
    assert!(
        got.contains("disabled by ALIBABA_CLOUD_ECS_METADATA_DISABLED"),
        "{got}"
    );
}

#[tokio::test]
async fn plain_http_never_goes_through_a_proxy() {
    if is_child() {
        let endpoint = std::env::var("METADATA").unwrap();
        tell(EcsRole::new().role_name("role").endpoint(endpoint).build()).await;
        tell(CredentialsUri::from_env().and_then(CredentialsUri::build)).await;
        return;
    }
    let play = [ok("t"), ok(&key_json("ecs")), ok(&key_json("uri"))];
    let server = ScriptedServer::start(play).await;
    let (endpoint, proxy) = (server.endpoint(), nobody());
    let mut environment = vec![
        ("METADATA", &*endpoint),
        ("ALIBABA_CLOUD_CREDENTIALS_URI", &*endpoint),
    ];
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        environment.push((name, &*proxy));
    }
    let told = told("plain_http_never_goes_through_a_proxy", &environment).await;
    assert!(
        told.contains("got ecs/") && told.contains("got uri/"),
        "{told}"
    );
}

#[tokio::test]
async fn the_profile_and_the_chain_go_by_the_home_of_the_user() {
    if is_child() {
        tell(Ok(ProfileFile::cli().build())).await;
        tell(Ok(ProfileFile::ini().build())).await;
        tell(Ok(DefaultChain::new().build())).await;
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        ".aliyun/config.json",
        r#"{"current":"p","profiles":[{"name":"p","access_key_id":"cli","access_key_secret":"s"}]}"#,
    );
    write(
        ".alibabacloud/credentials",
        "[default]\ntype=access_key\naccess_key_id=ini\naccess_key_secret=s",
    );
    let environment = [("HOME", home.path().to_str().unwrap())];
    let test = "the_profile_and_the_chain_go_by_the_home_of_the_user";
    let got = told(test, &environment).await;
    let got: Vec<&str> = got.lines().filter(|line| line.contains("got ")).collect();
    assert_eq!(got.len(), 3, "{got:?}");
    for (line, id) in got.iter().zip(["cli", "ini", "cli"]) {
        assert!(line.ends_with(&format!("got {id}/None")), "{got:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_a_program_writes_to_standard_error_is_not_passed_on() {
    if is_child() {
        tell(CredentialsProcess::new("/bin/sh -c 'echo MARKED >&2; exit 3'").build()).await;
        return;
    }
    let test = "what_a_program_writes_to_standard_error_is_not_passed_on";
    let told = told(test, &[]).await;
    assert!(told.contains("exit status: 3"), "{told}");
    assert!(!told.contains("MARKED"), "{told}");
}
