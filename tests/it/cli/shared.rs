//! `append --shared`: lines are records.

use super::*;

#[tokio::test]
async fn lines_of_many_writers_are_whole_once_and_in_order() {
    const LINES: usize = 2000;
    let emulator = emulator().await;
    let input = |id| {
        let line = |n| format!("writer {id} line {n} {}\n", "x".repeat(n % 97));
        (0..LINES).map(line).collect::<String>()
    };
    let options = ["--shared", "--batch-size=1000", "--buffer=8000", "--json"];
    let append = |id| {
        let arguments = [&["append", TARGET], &options[..]].concat();
        run(command(&emulator, arguments), input(id))
    };
    let ended: [Ended; 3] = tokio::join!(append(0), append(1), append(2)).into();
    let content = String::from_utf8(content(&emulator)).unwrap();
    for (id, ended) in ended.into_iter().enumerate() {
        let summary = ended.expect(0).json();
        assert_eq!(summary["bytes"], input(id).len());
        let own: String = content
            .split_inclusive('\n')
            .filter(|line| line.starts_with(&format!("writer {id} ")))
            .collect();
        assert!(own == input(id), "writer {id}");
    }
    assert_eq!(content.lines().count(), 3 * LINES);
}

#[tokio::test]
async fn a_record_is_never_cut_between_appends() {
    let emulator = emulator().await;
    let input = (0..500)
        .map(|n| format!("{}\n", "y".repeat(n % 300)))
        .collect::<String>()
        + "no line feed at the end";
    let options = ["--shared", "--max-append-size=400"];
    append(&emulator, &options, &input).await.expect(0);
    assert_eq!(content(&emulator), input.as_bytes());
    let starts = emulator.requests();
    for start in starts.iter().filter_map(|request| request.position) {
        let start = usize::try_from(start).unwrap();
        assert!(start == 0 || input.as_bytes()[start - 1] == b'\n');
    }
}

#[tokio::test]
async fn a_line_that_could_be_torn_is_refused_with_its_length() {
    let emulator = emulator().await;
    for (input, durable, line, length) in [
        (
            "one\ntwo\n123456789\nnever read\n",
            "one\ntwo\n",
            "line 3",
            "10 bytes",
        ),
        ("12345678901234567890", "", "line 1", "20 bytes"),
    ] {
        let _ = emulator.delete("bucket", KEY);
        let options = ["--shared", "--max-append-size=9"];
        let refused = append(&emulator, &options, input).await.expect(2).says(&[
            line,
            length,
            "--max-append-size",
        ]);
        assert_eq!(refused.json()["bytes"], durable.len());
        let object = emulator.object("bucket", KEY);
        assert_eq!(object.map_or_else(Default::default, |o| o.bytes), durable);
    }
    let fits = ["--shared", "--max-append-size=9"];
    append(&emulator, &fits, "12345678\n123456789")
        .await
        .expect(0);
}

#[tokio::test]
async fn the_summary_of_a_shared_object_covers_what_others_appended() {
    let emulator = emulator().await;
    let arguments = ["append", "--json", "--shared", "--linger=1ms", TARGET];
    let mut running = Running::start(command(&emulator, arguments));
    running.write("ours\n").await;
    appended(&emulator, 1).await;
    emulator.append_foreign("bucket", KEY, "theirs\n").unwrap();
    running.write("ours\n").await;
    running.close_input();
    let summary = running.end().await.expect(0).json();
    assert_eq!(content(&emulator), b"ours\ntheirs\nours\n");
    assert_eq!(summary["end"], 17);
    assert_eq!(summary["bytes"], 10);
    let crc = oss_append::crc64::checksum(b"ours\ntheirs\nours\n");
    assert_eq!(summary["crc64"], crc.to_string());
}
