//! The commands of README, as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use oss_append::OssClient;

use super::*;

const README: &str = include_str!("../../../README.md");
const OPERATIONS: &str = include_str!("../../../src/guide/operations.md");

/// The block of shell commands that has this in it.
fn block(text: &'static str, part: &str) -> &'static str {
    let mut blocks = text.split("```sh\n").skip(1);
    let found = blocks.find_map(|rest| {
        let block = rest.split("```").next().unwrap();
        block.contains(part).then_some(block)
    });
    found.unwrap_or_else(|| panic!("no block has {part}"))
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn the_commands_run_as_they_stand_there() {
    let emulator = Emulator::builder()
        .bucket("my-bucket")
        .start()
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_oss-append"), here.join("oss-append")).unwrap();
    script(&here.join("my-program"), "#!/bin/sh\necho one line\n");
    fs::write(here.join("access.log"), "GET /\n").unwrap();

    let path = format!("{}:{}", here.display(), std::env::var("PATH").unwrap());
    let commands = block(README, "my-program | oss-append append");
    let mut shell = Command::new("sh");
    // The configuration of the command.
    for (name, value) in command(&emulator, ["--version"]).as_std().get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
        .args(["-euc", commands])
        .env("PATH", path)
        .current_dir(here)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let ended = run(shell, "").await.expect(0);

    let stdout = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(stdout.starts_with("one line\n"), "{stdout}");
    let client: OssClient = emulator.client().build().unwrap();
    let keys = client.list_objects("my-bucket").send().await.unwrap();
    let text = |key: &str| emulator.object("my-bucket", key).unwrap().bytes;
    assert_eq!(text("logs/app.log"), "one line\n");
    assert_eq!(text("logs/spooled.log"), "one line\n");
    assert_eq!(text("logs/access.log"), "GET /\n");
    assert_eq!(
        keys.objects.len(),
        4,
        "and one that is named by the template"
    );
}

#[tokio::test]
async fn the_commands_of_the_guide_have_only_options_that_exist() {
    let emulator = emulator().await;
    let commands = block(OPERATIONS, "oss-append doctor --write");
    let mut tried = 0;
    for line in commands.lines().filter(|line| !line.starts_with("cargo ")) {
        let (_, arguments) = line.split_once("oss-append ").expect(line);
        let arguments = arguments.split('#').next().unwrap().split_whitespace();
        let arguments = arguments
            .map(|word| word.trim_matches('\''))
            .chain(["--help"]);
        run(command(&emulator, arguments), "").await.expect(0);
        tried += 1;
    }
    assert!(tried > 5);
}
