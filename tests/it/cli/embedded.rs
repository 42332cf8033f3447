//! `--embedded`: a server of the command's own.

use super::*;

#[tokio::test]
async fn the_directory_survives_between_runs_and_needs_no_environment() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = ["--embedded", directory.path().to_str().unwrap()];
    let command = |arguments: &[&str]| bare([arguments, &embedded].concat());
    for (input, end) in [("first ", 6), ("second", 12)] {
        let ended = run(command(&["append", "--json", TARGET]), input).await;
        assert_eq!(ended.expect(0).json()["end"], end);
    }
    let cat = run(command(&["cat", TARGET]), "").await.expect(0);
    assert_eq!(cat.stdout, b"first second");
    let stat = run(command(&["stat", "--json", TARGET]), "").await;
    assert_eq!(stat.expect(0).json()["length"], 12);
}

#[tokio::test]
async fn an_embedded_server_is_not_given_a_place_to_go() {
    for option in [
        "--region=cn-beijing",
        "--endpoint=127.0.0.1",
        "--path-style",
    ] {
        let arguments = ["stat", TARGET, "--embedded", "somewhere", option];
        run(bare(arguments), "").await.expect(2);
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_a_local_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), b"no directory");
    let ended = run(bare(["append", TARGET, "--embedded", &path]), "x").await;
    ended.expect(1).says(&[&path]);
}
