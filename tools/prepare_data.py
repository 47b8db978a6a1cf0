"""Fetch and check a public data set: ``python tools/prepare_data.py msrs``.

What a program can fetch is cloned, brought into the layout ROOT/{train,test}/{ir,vi}/NAME and verified; for the others
the steps by hand are printed. Run it again at any time to verify a copy.
"""

import argparse
import sys
from pathlib import Path

from fusionkd.datasets.public import PUBLIC_SETS, arrange, fetch, get_public_set, verify


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=PUBLIC_SETS, help='the set')
    parser.add_argument('--root', help='where it is or shall be; default data/<NAME>, such as data/MSRS')
    parser.add_argument('--from', dest='source', help='unpacked copy as published, to be arranged under the root')
    parser.add_argument('--verify-only', action='store_true', help='fetch nothing')
    return parser.parse_args()


def main() -> int:
    """Fetch, arrange, verify; the exit status is 1 unless the copy is complete."""
    args = parse_args()
    public = get_public_set(args.name)
    root = Path(args.root or Path('data') / public.folder)
    print(f'{public.title}\n{public.home}')
    try:
        if args.source:
            root = arrange(args.name, args.source, root)
        elif not args.verify_only and not any((root / split).is_dir() for split in ('train', 'test')):
            root = arrange(args.name, fetch(args.name, root.with_name(f'{root.name}_download')), root)
        problems = verify(args.name, root, lambda line: print(f'  {line}'))
    except (RuntimeError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for problem in problems[:20]:
        print(f'problem: {problem}', file=sys.stderr)
    if len(problems) > 20:
        print(f'problem: and {len(problems) - 20} more', file=sys.stderr)
    print(f'{root} is {"complete" if not problems else "not complete"}; use it with --data-root {root}')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
