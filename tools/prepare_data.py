"""Fetch and check a public data set: ``python tools/prepare_data.py msrs``.

What a program can fetch is cloned, brought into its layout and verified; for the others the steps by hand are printed. Run it
again at any time to verify a copy. Fusion sets have the layout ROOT/{train,test}/{ir,vi}/NAME; those of recognition theirs.
"""

import argparse
import sys
from pathlib import Path

from fusionkd.datasets.public import PUBLIC_SETS, arrange, fetch, get_public_set, verify
from fusionkd.datasets.recognition_sets import RECOGNITION_SETS, arrange_rsscn7, fetch_recognition, verify_recognition
from fusionkd.datasets.recognition_synthetic import write_captions


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=[*PUBLIC_SETS, *RECOGNITION_SETS], help='the set')
    parser.add_argument('--root', help='where it is or shall be; default data/<NAME>, such as data/MSRS')
    parser.add_argument('--from', dest='source', help='unpacked copy as published, to be arranged under the root')
    parser.add_argument('--verify-only', action='store_true', help='fetch nothing')
    parser.add_argument(
        '--captions',
        action='store_true',
        help='rsscn7: also write ROOT/captions.json, made from class names and image statistics, to train retrieval on',
    )
    args = parser.parse_args()
    if args.captions and args.name != 'rsscn7':
        parser.error('--captions is for rsscn7')
    return args


def prepare_fusion(args: argparse.Namespace, root: Path) -> tuple[Path, list[str]]:
    """Fetch, arrange and verify a fusion set."""
    if args.source:
        root = arrange(args.name, args.source, root)
    elif not args.verify_only and not any((root / split).is_dir() for split in ('train', 'test')):
        root = arrange(args.name, fetch(args.name, root.with_name(f'{root.name}_download')), root)
    return root, verify(args.name, root, lambda line: print(f'  {line}'))


def prepare_recognition(args: argparse.Namespace, root: Path) -> tuple[Path, list[str]]:
    """Fetch, arrange and verify a recognition set."""
    source = args.source
    if source is None and not args.verify_only and not root.is_dir():
        source = fetch_recognition(args.name, root.with_name(f'{root.name}_download'))
    if source is not None:
        root = arrange_rsscn7(source, root) if args.name == 'rsscn7' else Path(source)
    problems = verify_recognition(args.name, root, lambda line: print(f'  {line}'))
    if args.captions:
        print(f'  captions: {write_captions(root)}')
    return root, problems


def main() -> int:
    """Fetch, arrange, verify; the exit status is 1 unless the copy is complete."""
    args = parse_args()
    recognition = args.name in RECOGNITION_SETS
    public = RECOGNITION_SETS[args.name] if recognition else get_public_set(args.name)
    root = Path(args.root or Path('data') / public.folder)
    print(f'{public.title}\n{public.home}')
    try:
        root, problems = (prepare_recognition if recognition else prepare_fusion)(args, root)
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
