//! Profiles in real files, of both kinds.

use std::path::PathBuf;
use std::time::Duration;

use oss_append::credentials::{CachedCredentials, CredentialsProvider, ProfileFile};
use tempfile::TempDir;

use super::{SECRET, TOKEN, error, fetch, form, id, key_json, ok, sts_key, temporary};
use crate::support::log::{Log, set_default};
use crate::support::server::ScriptedServer;

const ROLE: &str = "acs:ram::123456789012:role/append";

/// A file of profiles.
struct File {
    directory: TempDir,
    path: PathBuf,
}

impl File {
    fn new(content: impl AsRef<[u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("profiles");
        std::fs::write(&path, content).unwrap();
        Self { directory, path }
    }

    /// One profile of the command line, the current one.
    fn cli(settings: &str) -> Self {
        let settings = settings.replace("KEY", &cli_key());
        Self::new(format!(
            r#"{{"current":"p","profiles":[{{"name":"p","region_id":"x",{settings}}}],"meta_path":""}}"#
        ))
    }

    /// One profile of the SDKs, the default one.
    fn ini(settings: &str) -> Self {
        let key = format!("access_key_id = AK\naccess_key_secret = {SECRET}");
        Self::new(format!("[default]\n{}\n", settings.replace("KEY", &key)))
    }

    fn as_cli(&self) -> CachedCredentials {
        ProfileFile::cli().path(&self.path).build()
    }

    fn as_ini(&self) -> CachedCredentials {
        ProfileFile::ini().path(&self.path).build()
    }
}

fn cli_key() -> String {
    format!(r#""access_key_id":"AK","access_key_secret":"{SECRET}""#)
}

async fn sts() -> ScriptedServer {
    ScriptedServer::start([ok(&sts_key("STS.1"))]).await
}

#[tokio::test]
async fn a_key_of_either_file_is_read() {
    let token = format!(r#""sts_token":"{TOKEN}""#);
    let cases = [
        (File::cli(r#""mode":"AK",KEY"#), true, None),
        (File::cli(r#""mode":"ak",KEY,"sts_token":"""#), true, None),
        (
            File::cli(&format!(r#""mode":"AK",KEY,{token}"#)),
            true,
            None,
        ),
        (
            File::cli(&format!(r#""mode":"StsToken",KEY,{token}"#)),
            true,
            Some(TOKEN),
        ),
        (File::ini("type = access_key\nKEY"), false, None),
        (
            File::ini(&format!(
                "type=sts # temporary\nKEY\nsecurity_token=\"{TOKEN}\""
            )),
            false,
            Some(TOKEN),
        ),
    ];
    for (file, cli, token) in cases {
        let provider = if cli { file.as_cli() } else { file.as_ini() };
        let got = fetch(&provider).await;
        assert_eq!(got.access_key_id(), "AK");
        assert_eq!(got.access_key_secret(), SECRET);
        assert_eq!((got.session_token(), got.expiration()), (token, None));
    }
}

#[tokio::test]
async fn the_named_profile_is_taken_else_the_current_or_default_one() {
    let of = |name: &str| {
        format!(
            r#"{{"name":"{name}","mode":"AK","access_key_id":"{name}","access_key_secret":"s"}}"#
        )
    };
    let all = ["default", "a", "b"].map(of).join(",");
    let cli = File::new(format!(r#"{{"current":"b","profiles":[{all}]}}"#));
    let of = |name: &str| {
        format!("[{name}]\ntype = access_key\naccess_key_id = {name}\naccess_key_secret = s\n")
    };
    let ini = File::new(["a", "default", "b"].map(of).concat());
    let of_cli = || ProfileFile::cli().path(&cli.path);
    let of_ini = || ProfileFile::ini().path(&ini.path);
    for (file, expected) in [
        (of_cli(), "b"),
        (of_cli().profile("a"), "a"),
        (of_ini(), "default"),
        (of_ini().profile("b"), "b"),
    ] {
        assert_eq!(id(&file.build()).await, expected);
    }
    for file in [of_cli(), of_ini()] {
        let error = error(&file.profile("other").build()).await;
        assert!(
            error.to_string().contains("has no profile \"other\""),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_profile_with_a_role_assumes_it_with_its_options() {
    let cli = File::cli(&format!(
        r#""mode":"RamRoleArn",KEY,"ram_role_arn":"{ROLE}","ram_session_name":"session",
           "expired_seconds":900,"policy":"{{}}","external_id":"external","sts_region":"x""#
    ));
    let ini = File::ini(&format!(
        "type = ram_role_arn\nKEY\nrole_arn = {ROLE}\nrole_session_name = session\npolicy = {{}}"
    ));
    for (file, options, seconds, external) in [
        (&cli, ProfileFile::cli(), "900", Some("external")),
        (&ini, ProfileFile::ini(), "3600", None),
    ] {
        let sts = sts().await;
        let options = options.path(&file.path).sts_endpoint(sts.endpoint());
        let got = fetch(&options.build()).await;
        assert_eq!(got.access_key_id(), "STS.1");
        assert!(got.expiration().is_some());
        let request = sts.request();
        let signed = request.header("authorization").unwrap();
        assert!(signed.contains("Credential=AK,"), "{signed}");
        let form = form(&request);
        assert_eq!(form["RoleArn"], ROLE);
        assert_eq!(form["RoleSessionName"], "session");
        assert_eq!(form["DurationSeconds"], seconds);
        assert_eq!(form["Policy"], "{}");
        assert_eq!(form.get("ExternalId").map(|id| &**id), external);
    }
}

#[tokio::test]
async fn a_profile_with_an_oidc_role_assumes_it() {
    let token = File::new("MARKED-OIDC");
    let path = token.path.display();
    let cli = File::cli(&format!(
        r#""mode":"OIDC","ram_role_arn":"{ROLE}","oidc_provider_arn":"provider",
           "oidc_token_file":"{path}""#
    ));
    let ini = File::ini(&format!(
        "type = oidc_role_arn\nrole_arn = {ROLE}\noidc_provider_arn = provider\n\
         oidc_token_file_path = {path}"
    ));
    for (file, options) in [(&cli, ProfileFile::cli()), (&ini, ProfileFile::ini())] {
        let sts = sts().await;
        let options = options.path(&file.path).sts_endpoint(sts.endpoint());
        assert_eq!(id(&options.build()).await, "STS.1");
        let form = form(&sts.request());
        assert_eq!(form["OIDCToken"], "MARKED-OIDC");
        assert_eq!(form["OIDCProviderArn"], "provider");
    }
}

#[tokio::test]
async fn a_role_is_assumed_with_the_key_of_another_profile() {
    let profiles = format!(
        r#"{{"current":"c","profiles":[
            {{"name":"a","mode":"AK",{key}}},
            {{"name":"b","mode":"ChainableRamRoleArn","source_profile":"a",
              "ram_role_arn":"role-b","ram_session_name":"session"}},
            {{"name":"c","mode":"ChainableRamRoleArn","source_profile":"b",
              "ram_role_arn":"role-c","ram_session_name":"session"}}]}}"#,
        key = cli_key()
    );
    let file = File::new(profiles);
    let play = ["STS.b", "STS.c"].map(|id| ok(&sts_key(id)));
    let sts = ScriptedServer::start(play).await;
    let options = ProfileFile::cli().path(&file.path);
    assert_eq!(
        id(&options.sts_endpoint(sts.endpoint()).build()).await,
        "STS.c"
    );
    let requests = sts.requests();
    for (request, role, by) in [
        (&requests[0], "role-b", "AK"),
        (&requests[1], "role-c", "STS.b"),
    ] {
        assert_eq!(form(request)["RoleArn"], role);
        let signed = request.header("authorization").unwrap();
        assert!(signed.contains(&format!("Credential={by},")), "{signed}");
    }
}

#[tokio::test]
async fn a_profile_with_an_instances_role_asks_the_metadata_service() {
    let cli = File::cli(r#""mode":"EcsRamRole","ram_role_name":"named""#);
    let ini = File::ini("type = ecs_ram_role\nrole_name = named");
    for (file, options) in [(&cli, ProfileFile::cli()), (&ini, ProfileFile::ini())] {
        let metadata = ScriptedServer::start([ok("t"), ok(&key_json("STS.1"))]).await;
        let options = options.path(&file.path);
        let options = options.metadata_endpoint(metadata.endpoint());
        assert_eq!(id(&options.build()).await, "STS.1");
        assert!(metadata.requests()[1].target.ends_with("/named"));
    }
    let cli = File::cli(r#""mode":"EcsRamRole""#);
    let metadata = ScriptedServer::start([ok("t"), ok("r"), ok(&key_json("STS.1"))]).await;
    let options = ProfileFile::cli().path(&cli.path);
    let options = options.metadata_endpoint(metadata.endpoint());
    assert_eq!(id(&options.build()).await, "STS.1");
}

#[tokio::test]
async fn a_profile_with_a_uri_asks_it() {
    let server = ScriptedServer::start([ok(&key_json("STS.1"))]).await;
    let uri = format!("{}/?secret=MARKED", server.endpoint());
    let file = File::cli(&format!(
        r#""mode":"CredentialsURI","credentials_uri":"{uri}""#
    ));
    assert_eq!(id(&file.as_cli()).await, "STS.1");
    assert_eq!(server.request().line(), "GET /?secret=MARKED");
}

#[cfg(unix)]
#[tokio::test]
async fn a_profile_with_a_program_runs_it() {
    let key = File::new(key_json("STS.1"));
    let line = format!("cat {}", key.path.display());
    let file = File::cli(&format!(r#""mode":"External","process_command":"{line}""#));
    assert_eq!(id(&file.as_cli()).await, "STS.1");
}

#[tokio::test]
async fn a_key_that_was_replaced_in_the_file_is_found_when_the_old_one_is_refused() {
    let file = File::ini("type = access_key\naccess_key_id = old\naccess_key_secret = s");
    let provider = file.as_ini();
    let old = fetch(&provider).await;
    let new = "[default]\ntype = access_key\naccess_key_id = new\naccess_key_secret = s\n";
    std::fs::write(&file.path, new).unwrap();
    assert_eq!(id(&provider).await, "old", "it is kept");
    provider.invalidate(&old);
    assert_eq!(id(&provider).await, "new");
}

#[tokio::test]
async fn a_profile_that_cannot_be_used_is_an_error_that_says_why() {
    let role = format!(r#""ram_role_arn":"{ROLE}""#);
    let chain = r#"{"name":"p","mode":"ChainableRamRoleArn","ram_role_arn":"r","source_profile":"q"},
                   {"name":"q","mode":"ChainableRamRoleArn","ram_role_arn":"r","source_profile":"p"}"#;
    let cli = |settings: &str| File::cli(settings);
    for (file, says) in [
        (File::new(""), "is not JSON"),
        (File::new("MARKED"), "is not JSON (line 1, column 1)"),
        (File::new("{\"MARKED\": 1}"), "another form"),
        (
            File::new(r#"{"profiles":[{"access_key_secret":["MARKED"]}]}"#),
            "another form",
        ),
        (
            File::new(r#"{"current":"p","profiles":[]}"#),
            "has no profile \"p\"",
        ),
        (File::new(r#"{"profiles":[]}"#), "has no profile \"\""),
        (File::new(b"\xffMARKED"), "UTF-8"),
        (File::new("x".repeat(2 << 20)), "longer than 1048576"),
        (cli(r#""mode":"""#), "has no key in its profile \"p\""),
        (cli(r#""mode":"AK""#), "has no key in its profile \"p\""),
        (
            cli(r#""mode":"AK","access_key_id":"AK""#),
            "without access_key_secret",
        ),
        (cli(r#""mode":"StsToken",KEY"#), "without sts_token"),
        (cli(r#""mode":"RamRoleArn",KEY"#), "without ram_role_arn"),
        (
            cli(&format!(r#""mode":"RamRoleArn",{role}"#)),
            "without access_key_id",
        ),
        (
            cli(&format!(
                r#""mode":"RamRoleArn",KEY,{role},"expired_seconds":1"#
            )),
            "at least 900 s",
        ),
        (
            cli(&format!(
                r#""mode":"RamRoleArn",KEY,{role},"ram_session_name":"a b""#
            )),
            "name of the role's session",
        ),
        (
            cli(&format!(r#""mode":"OIDC",{role}"#)),
            "without oidc_provider_arn",
        ),
        (
            cli(r#""mode":"EcsRamRole","ram_role_name":"../x""#),
            "name of the RAM role",
        ),
        (cli(r#""mode":"CredentialsURI""#), "without credentials_uri"),
        (
            cli(r#""mode":"CredentialsURI","credentials_uri":"MARKED""#),
            "no scheme",
        ),
        (cli(r#""mode":"External""#), "without process_command"),
        (
            cli(r#""mode":"External","process_command":"MARKED '""#),
            "open quote",
        ),
        (cli(r#""mode":"OAuth""#), "mode is none of AK"),
        (
            cli(r#""mode":"ChainableRamRoleArn","ram_role_arn":"r","source_profile":"x""#),
            "source_profile is not there",
        ),
        (
            cli(r#""mode":"ChainableRamRoleArn","ram_role_arn":"r","source_profile":"p""#),
            "leads back to it",
        ),
        (
            File::new(format!(r#"{{"current":"p","profiles":[{chain}]}}"#)),
            "leads back to it",
        ),
    ] {
        says_why(&file, file.as_cli(), says).await;
    }
    let ini = |settings: &str| File::ini(settings);
    for (file, says) in [
        (File::new(""), "has no profile \"default\""),
        (File::new("MARKED"), "is not an ini file (line 1)"),
        (File::new("[default\nMARKED"), "is not an ini file (line 1)"),
        (ini("KEY"), "without type"),
        (ini("type = MARKED\nKEY"), "type is none of access_key"),
        (
            ini("type = access_key\naccess_key_id = AK"),
            "without access_key_secret",
        ),
        (
            ini("type = access_key\naccess_key_id ="),
            "without access_key_id",
        ),
        (ini("type = sts\nKEY"), "without security_token"),
        (ini("type = ram_role_arn\nKEY"), "without role_arn"),
        (
            ini("type = ram_role_arn\nKEY\nrole_arn=r\nrole_session_name=/"),
            "session",
        ),
        (
            ini("type = oidc_role_arn\nrole_arn=r"),
            "without oidc_provider_arn",
        ),
        (
            ini("type = ecs_ram_role\nrole_name = /"),
            "name of the RAM role",
        ),
    ] {
        says_why(&file, file.as_ini(), says).await;
    }
}

async fn says_why(file: &File, provider: CachedCredentials, says: &str) {
    let error = error(&provider).await;
    let said = error.to_string();
    let path = file.path.display().to_string();
    assert!(
        said.contains(says) && said.contains(&path),
        "{says}: {said}"
    );
    assert!(!temporary(&error));
}

#[tokio::test]
async fn a_file_that_is_not_there_or_none_is_an_error_that_names_it() {
    let file = File::new("");
    let absent = file.directory.path().join("absent");
    for (path, says) in [
        (absent.as_path(), "not found"),
        (file.directory.path(), "not a regular file"),
    ] {
        for options in [ProfileFile::cli(), ProfileFile::ini()] {
            let error = error(&options.path(path).build()).await;
            let said = error.to_string();
            let path = path.display().to_string();
            assert!(said.contains(says) && said.contains(&path), "{said}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_others_may_read_is_used_and_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    for (mode, warned) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        let log = Log::default();
        let _guard = set_default(log.subscriber(tracing::Level::WARN));
        let file = File::ini("type = access_key\nKEY");
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&file.path, permissions).unwrap();
        assert_eq!(id(&file.as_ini()).await, "AK");
        assert_eq!(
            log.text().contains("others may read"),
            warned,
            "{}",
            log.text()
        );
        assert!(!log.text().contains("MARKED"));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
    let file = File::new("");
    let pipe = file.directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let provider = ProfileFile::ini().path(&pipe).build();
    let asking = tokio::time::timeout(Duration::from_secs(60), error(&provider));
    let error = asking.await.unwrap();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}
