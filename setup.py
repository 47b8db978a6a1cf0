"""Package metadata; tool settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Lines of ``requirements/<name>.txt`` that name a package."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith('#')]


def version() -> str:
    """``__version__`` of the package, read without importing it."""
    text = (ROOT / 'fusionkd' / 'version.py').read_text(encoding='utf-8')
    return text.split("__version__ = '")[1].split("'")[0]


setup(
    name='fusionkd',
    version=version(),
    description='Distillation toolbox that makes infrared-visible image-fusion networks small and fast',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['fusionkd', 'fusionkd.*']),
    package_data={'fusionkd.zoo': ['*.pth', '*.json', '*.txt', 'policies/*']},
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('clip', 'deploy', 'rl', 'tests', 'vlm')},
)
