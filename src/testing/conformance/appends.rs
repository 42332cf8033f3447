//! What an append does, and what its answer says.

use bytes::Bytes;
use futures::future::join_all;

use super::report::ConformanceReport;
use super::{Case, Fail, Suite, demand, note, refused};
use crate::error::Refusal;
use crate::store::AppendStore;
use crate::store::ability::Evidence;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::batch::Batch;
use crate::values::crc64;

impl<S: AppendStore> Suite<'_, S> {
    pub(super) async fn appends(&self, report: &mut ConformanceReport) {
        let case = self.creates().await;
        note(report, "an_append_at_0_creates_the_object", case);
        let case = self.continues().await;
        note(report, "an_append_at_the_end_continues_it", case);
        let case = self.wrong_position().await;
        note(
            report,
            "a_wrong_position_is_refused_and_never_applied",
            case,
        );
        let case = self.empty_append().await;
        note(report, "an_empty_append_creates_and_changes_nothing", case);
        let case = self.many_pieces().await;
        note(report, "a_body_of_many_pieces_is_stored_in_order", case);
        let case = self.progress().await;
        note(report, "progress_tells_that_the_body_moves", case);
        let case = self.one_wins().await;
        note(report, "of_appends_at_one_position_exactly_one_wins", case);
        let case = self.evidence().await;
        note(report, "answers_and_looks_give_the_evidence_declared", case);
        let case = self.largest().await;
        note(report, "an_append_of_the_largest_size_is_taken", case);
        let case = self.lane().await;
        note(report, "on_a_lane_appends_arrive_in_order", case);
    }

    async fn creates(&self) -> Case {
        let object = self.object("creates")?;
        let answer = self.append(&object, 0, "first").await?;
        next_position(&answer, 5)?;
        let what = "an append at 0 creates the object with these bytes";
        self.holds(&object, b"first", what).await
    }

    async fn continues(&self) -> Case {
        let object = self.object("continues")?;
        self.append(&object, 0, "one ").await?;
        let answer = self.append(&object, 4, "two").await?;
        next_position(&answer, 7)?;
        let what = "an append at the end puts its bytes behind all others";
        self.holds(&object, b"one two", what).await
    }

    async fn wrong_position(&self) -> Case {
        let what = "a position that is not the object's length is refused as Refusal::Position";
        let missing = self.object("wrong-position-missing")?;
        let outcome = self.append(&missing, 3, "x").await;
        refused(outcome, Refusal::Position, what)?;
        let seen = self.store.head(&missing).await?;
        demand(seen.is_none(), "a refused append creates no object", seen)?;

        let object = self.object("wrong-position")?;
        self.append(&object, 0, "content").await?;
        for position in [0, 3, 8, 1 << 40] {
            let outcome = self.append(&object, position, "x").await;
            if let Err(error) = &outcome {
                let named = error
                    .service_error()
                    .and_then(|said| said.next_append_position);
                demand(
                    named.is_none_or(|named| named == 7),
                    "a length that the refusal names is that of the object",
                    named,
                )?;
            }
            refused(outcome, Refusal::Position, what)?;
        }
        let what = "a refused append changes nothing";
        self.holds(&object, b"content", what).await
    }

    async fn empty_append(&self) -> Case {
        let object = self.object("empty")?;
        let answer = self.append(&object, 0, "").await?;
        next_position(&answer, 0)?;
        let what = "an empty append at 0 creates an empty object";
        let info = self.info(&object).await?;
        demand(info.length == 0, what, info.length)?;
        self.append(&object, 0, "bytes").await?;
        let answer = self.append(&object, 5, "").await?;
        next_position(&answer, 5)?;
        let what = "an empty append at the end changes nothing";
        self.holds(&object, b"bytes", what).await
    }

    async fn many_pieces(&self) -> Case {
        let object = self.object("pieces")?;
        let mut content = Vec::new();
        let mut pieces = Vec::new();
        for number in 0..300_u32 {
            let piece = vec![(number % 251) as u8; 1 + (number as usize * 37) % 2000];
            content.extend_from_slice(&piece);
            pieces.push(Bytes::from(piece));
        }
        let body: Batch = pieces.into_iter().collect();
        let request = AppendRequest::new(object.clone(), 0, body);
        let answer = self.store.append(request).await?;
        next_position(&answer, content.len() as u64)?;
        let what = "the pieces of a body are stored in their order, all of them";
        self.holds(&object, &content, what).await
    }

    async fn progress(&self) -> Case {
        let object = self.object("progress")?;
        let request = AppendRequest::new(object, 0, vec![b'x'; 100_000]);
        let progress = request.progress.clone();
        self.store.append(request).await?;
        demand(
            progress.bytes() > 0,
            "the store advances the request's progress while the body moves, or the append is given \
             up as one in which nothing moves",
            progress.bytes(),
        )
    }

    async fn one_wins(&self) -> Case {
        let object = self.object("one-wins")?;
        self.append(&object, 0, "start ").await?;
        let bodies: Vec<String> = (0..8).map(|number| format!("writer {number}")).collect();
        let appends = bodies
            .iter()
            .map(|body| self.append(&object, 6, body.clone()));
        let outcomes = join_all(appends).await;
        let won: Vec<_> = (outcomes.iter().zip(&bodies))
            .filter_map(|(outcome, body)| outcome.is_ok().then_some(body))
            .collect();
        let what = "of several appends at one position exactly one is applied";
        let [winner] = won[..] else {
            return demand(false, what, won);
        };
        let what_others = "the others are refused as Refusal::Position";
        for outcome in outcomes.into_iter().filter(Result::is_err) {
            refused(outcome, Refusal::Position, what_others)?;
        }
        self.holds(&object, format!("start {winner}").as_bytes(), what)
            .await
    }

    async fn evidence(&self) -> Case {
        let object = self.object("evidence")?;
        let first = self.append(&object, 0, "one ").await?;
        let seen_first = self.info(&object).await?;
        let second = self.append(&object, 4, "two").await?;
        let seen_second = self.info(&object).await?;
        for (content, answer, seen) in [
            (&b"one "[..], &first, &seen_first),
            (b"one two", &second, &seen_second),
        ] {
            let right = Some(crc64::checksum(content));
            let is_promised = self.store.evidence() == Evidence::Crc64;
            for crc in [answer.crc64, seen.crc64] {
                let holds = crc == right || (crc.is_none() && !is_promised);
                let what = "Evidence::Crc64 promises the CRC-64 of the whole object in every answer \
                            and look, and one that is named must be right";
                demand(holds, what, crc)?;
            }
            if self.store.evidence() == Evidence::Tag {
                let what = "Evidence::Tag promises the same tag in an answer and in a look that \
                            follows";
                let tags = (&answer.etag, &seen.etag);
                demand(tags.0.is_some() && tags.0 == tags.1, what, tags)?;
            }
        }
        if self.store.evidence() == Evidence::Tag {
            let what = "the tag changes with the content";
            demand(first.etag != second.etag, what, &second.etag)?;
        }
        let again = self.info(&object).await?;
        let what = "what a look shows does not change while the object does not";
        demand(again == seen_second, what, again)
    }

    async fn largest(&self) -> Case {
        /// More is not worth the time.
        const MOST: u64 = 8 << 20;
        let Some(most) = self.store.limits().max_append.filter(|most| *most <= MOST) else {
            return Err(Fail::Skip(
                "the store names no limit, or one of more than 8 MiB",
            ));
        };
        let object = self.object("largest")?;
        let body = vec![b'x'; usize::try_from(most).unwrap_or_default()];
        let answer = self.append(&object, 0, body).await?;
        next_position(&answer, most)
    }

    async fn lane(&self) -> Case {
        let object = self.object("lane")?;
        let Some(mut lane) = self.store.lane(&object) else {
            return Err(Fail::Skip("the store has no lanes"));
        };
        self.append(&object, 0, "start ").await?;
        let request = |position, body: String| AppendRequest::new(object.clone(), position, body);
        let pieces: Vec<String> = (0..20).map(|number| format!("{number:02} ")).collect();
        let sent = (pieces.iter().zip(0..))
            .map(|(piece, number)| lane.append(request(6 + 3 * number, piece.clone())));
        let mut sent: Vec<_> = sent.collect();
        // Whichever is asked first.
        sent.reverse();
        let answers = join_all(sent).await.into_iter().rev();
        let what = "what is sent behind others arrives behind them, and each is answered";
        for (answer, number) in answers.zip(1..) {
            let answer = answer.map_err(|error| Fail::Demand(format!("{what}; found {error}")))?;
            next_position(&answer, 6 + 3 * number)?;
        }
        let content = format!("start {}", pieces.concat());
        self.holds(&object, content.as_bytes(), what).await?;
        // Behind one that is refused nothing fits.
        let end = content.len() as u64;
        let refused_one = lane.append(request(end + 1, "x".into()));
        let behind = lane.append(request(end + 2, "y".into()));
        let (first, second) = futures::future::join(refused_one, behind).await;
        let what = "what is sent behind a refused append is refused as well, or fails";
        refused(first, Refusal::Position, what)?;
        demand(second.is_err(), what, &second)?;
        self.holds(&object, content.as_bytes(), what).await
    }
}

fn next_position(answer: &AppendAnswer, end: u64) -> Case {
    let what = "the answer to an append names the object's new length";
    demand(
        answer.next_position == Some(end),
        what,
        answer.next_position,
    )
}
