"""Copy the documents and their linked files to one folder for MkDocs: `./dev docs`."""

import re
import shutil

from tests.docs_in_step import DOCS, documents

SOURCE = DOCS.parent / ".cache" / "site-source"


def main() -> None:
    shutil.rmtree(SOURCE, ignore_errors=True)
    root = DOCS.parent
    for document in documents():
        targets = re.findall(r"\]\(([^)#:\s]+)", document.read_text())
        for path in {document, *((document.parent / target).resolve() for target in targets)}:
            if path.is_file() and ".github" not in path.parts:
                (SOURCE / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, SOURCE / path.relative_to(root))


if __name__ == "__main__":
    main()
