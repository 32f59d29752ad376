"""What went wrong while objects were fetched decides what to do."""

import pytest

from depixel.curation import dvc_objects


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("An error occurred (403) when calling the HeadObject operation: Forbidden", "denies access. Set your keys"),
        ("Unable to locate credentials", "denies access. Set your keys"),
        ("Cannot connect to host 10.0.0.1:9000", "does not answer"),
        ("[Errno 28] No space left on device", "he disk is full"),
        ("3 of 9 files, such as a.zip, are missing", "who published the photos still has them"),
    ],
)
def test_what_to_do_is_said_by_what_went_wrong(reason, advice):
    assert advice in dvc_objects._cannot_fetch("0.dir", reason) and reason in dvc_objects._cannot_fetch("0.dir", reason)
