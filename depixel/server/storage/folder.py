"""A challenge's folder: what is public, what is not, and where each file stands."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from depixel.base.errors import DepixelError


@dataclass(frozen=True)
class Folder:
    """The paths of a challenge. Whatever is below `private` is never served.

    Attributes:
        root: the folder itself.
    """

    root: Path

    @classmethod
    def of(cls, root: str | Path) -> "Folder":
        """The challenge in a folder.

        Raises:
            DepixelError: the folder holds no challenge.
        """
        folder = cls(Path(root))
        for path in (folder.test_set, folder.private / "targets.npz", folder.rules):
            if not path.is_file():
                raise DepixelError(
                    f"{root}: not the folder of a challenge, because {path.relative_to(root)} is missing. "
                    f"Make one with `depixel challenge create PHOTOS -o FOLDER`"
                )
        return folder

    @property
    def rules(self) -> Path:
        """The file with the rules, which the organiser edits."""
        return self.root / "rules.yaml"

    @property
    def public(self) -> Path:
        """The folder of what everybody may have."""
        return self.root / "public"

    @property
    def test_set(self) -> Path:
        """What the teams restore."""
        return self.public / "test_set.pkl"

    @property
    def private(self) -> Path:
        """The folder of what nobody but the organisers may have."""
        return self.root / "private"

    @property
    def creation(self) -> Path:
        """How the challenge was made: seed, ranges, photos, and the samples whose score is shown early."""
        return self.private / "creation.json"

    @property
    def references(self) -> Path:
        """The submissions of the reference rows, NAME.bin."""
        return self.private / "references"

    @property
    def submissions(self) -> Path:
        """The accepted submissions, unpacked, by the SHA-256 of their content."""
        return self.private / "submissions"

    @property
    def incoming(self) -> Path:
        """Uploads that are under way."""
        return self.private / "incoming"

    @property
    def database(self) -> Path:
        """The SQLite database, unless another one is named."""
        return self.private / "challenge.db"

    def submission(self, sha256: str) -> Path:
        """Where the accepted submission with this content stands."""
        return self.submissions / f"{sha256}.bin"

    def secret(self) -> bytes:
        """The key that signs the sessions of the page; made at the first call."""
        path = self.private / "secret"
        if not path.is_file():
            path.touch(mode=0o600)
            path.write_bytes(secrets.token_bytes(32))
        return path.read_bytes()
