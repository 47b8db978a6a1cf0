"""What is true of every degradation, and what each one does."""

from itertools import pairwise

import cv2
import pytest
import torch
from common import REPO

from fusionkd.hard_samples import MODALITIES, SEEN, STAGES, UNSEEN, degradation, degrade_pair, known_degradations
from fusionkd.hard_samples.compression import code_jpeg
from fusionkd.hard_samples.degradation import fork
from fusionkd.registry import HARD_SAMPLES

OPS = {name: known_degradations()[name] for name in (*SEEN, *UNSEEN)}
PAGE = REPO / 'docs/hard_samples.md'
LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def degrade(name, pair, strength, seed=0):
    strengths = torch.full((len(pair[0]),), float(strength))
    return OPS[name](*pair, strengths, torch.Generator().manual_seed(seed))


def squared_error(hard, clean):
    return sum((h - c).square().mean(dim=(1, 2, 3)) for h, c in zip(hard, clean, strict=True))


class TestAll:
    def test_each_is_listed_once(self):
        own = [name for name, op in known_degradations().items() if op.__module__.startswith('fusionkd.')]
        assert sorted(own) == sorted([*SEEN, *UNSEEN]) and len(own) == 21
        stages = [STAGES.index(op.stage) for op in known_degradations().values()]
        assert stages == sorted(stages)

    @pytest.mark.parametrize('name', OPS)
    def test_strength_zero_is_the_identity_bit_for_bit(self, name, scenes):
        assert all(torch.equal(h, c) for h, c in zip(degrade(name, scenes, 0.0), scenes, strict=True))

    @pytest.mark.parametrize('name', OPS)
    @pytest.mark.parametrize('seed', range(4))
    def test_severity_rises_with_strength_for_every_sample(self, name, seed, scenes):
        damage = [squared_error(degrade(name, scenes, strength, seed), scenes) for strength in LEVELS]
        for milder, harder in pairwise(damage):
            assert (harder > milder).all(), damage

    @pytest.mark.parametrize('name', OPS)
    def test_little_strength_is_little_damage(self, name, scenes):
        little, full = (squared_error(degrade(name, scenes, s), scenes).sqrt() for s in (0.02, 1.0))
        # resampling by any factor costs the finest detail; pixels are stuck or not
        limit = dict(low_resolution=0.6, dead_pixels=0.5).get(name, 0.25)
        assert (little < limit * full).all()

    @pytest.mark.parametrize('name', OPS)
    def test_shape_range_and_strength_per_sample(self, name, scenes):
        strength = torch.tensor([0.0, 1.0, 0.0, 1.0])
        hard = OPS[name](*scenes, strength, torch.Generator().manual_seed(1))
        for clean, result in zip(scenes, hard, strict=True):
            assert result.shape == clean.shape and result.min() >= 0 and result.max() <= 1
            assert torch.equal(result[::2], clean[::2])
        assert (squared_error(hard, scenes)[1::2] > 1e-5).all()

    @pytest.mark.parametrize('name', OPS)
    def test_it_touches_what_it_says(self, name, scenes):
        changed = torch.zeros(2, dtype=torch.bool)
        for seed in range(6):
            hard = degrade(name, scenes, 1.0, seed)
            changed |= torch.tensor([not torch.equal(h, c) for h, c in zip(hard, scenes, strict=True)])
        assert tuple(m for m, c in zip(MODALITIES, changed, strict=True) if c) == OPS[name].touches

    @pytest.mark.parametrize('name', OPS)
    def test_seeded(self, name, scenes):
        first, again, other = (degrade(name, scenes, 0.5, seed) for seed in (3, 3, 4))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        same = all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
        assert same == (name in {'contrast', 'jpeg', 'over_exposure'})

    @pytest.mark.parametrize('name', OPS)
    def test_what_is_drawn_next_does_not_depend_on_the_strength(self, name, scenes):
        draws = []
        torch.manual_seed(0)
        untouched = torch.get_rng_state()
        for strength in (0.0, 0.3, 1.0):
            generator = torch.Generator().manual_seed(0)
            OPS[name](*scenes, torch.full((4,), strength), generator)
            draws.append(torch.rand(1, generator=generator).item())
        assert len(set(draws)) == 1
        assert torch.equal(torch.get_rng_state(), untouched)

    @pytest.mark.parametrize('name', OPS)
    def test_odd_sizes(self, name):
        pair = torch.rand(3, 1, 37, 51), torch.rand(3, 1, 37, 51)
        hard = degrade(name, pair, 0.7)
        assert all(torch.isfinite(h).all() and h.shape == (3, 1, 37, 51) for h in hard)

    @pytest.mark.parametrize('name', OPS)
    def test_black_and_white_images(self, name):
        pair = torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 32, 32)
        assert all(torch.isfinite(h).all() for h in degrade(name, pair, 1.0))

    @pytest.mark.parametrize('name', ['blur', 'low_resolution', 'jpeg', 'smoke'])
    def test_autocast_does_not_reach_it(self, name, scenes):
        expected = degrade(name, scenes, 0.8)
        with torch.autocast('cpu', torch.bfloat16):
            hard = degrade(name, scenes, 0.8)
        assert all(torch.equal(a, b) and a.dtype == torch.float32 for a, b in zip(hard, expected, strict=True))


class TestEach:
    GRAY = torch.full((64, 1, 16, 16), 0.5)

    def test_published_ranges(self):
        _, vis = degrade('brightness', (self.GRAY, self.GRAY), 1.0)
        assert set(vis.flatten().unique().tolist()) == {0.25, 0.75}
        step = torch.cat([torch.zeros(64, 1, 16, 8), torch.ones(64, 1, 16, 8)], dim=-1)
        ir, vis = degrade('contrast', (step, step), 1.0)
        assert (ir.max() - ir.min()).item() == pytest.approx(0.6, abs=1e-6)
        assert (vis.max() - vis.min()).item() == pytest.approx(0.7, abs=1e-6)
        ir, vis = degrade('noise', (self.GRAY, self.GRAY), 1.0)
        assert (ir - self.GRAY).std().item() == pytest.approx(20 / 255, rel=0.05)
        assert not torch.equal(ir, vis)

    @pytest.mark.parametrize('name', ['blur', 'anisotropic_blur', 'motion_blur', 'low_resolution'])
    def test_drawn_images(self, name):
        step = torch.cat([torch.zeros(32, 1, 16, 8), torch.ones(32, 1, 16, 8)], dim=-1)
        noisy = (step + 0.2 * torch.rand(32, 1, 16, 16)).clamp(0, 1)
        ir, vis = degrade(name, (noisy, noisy), 1.0)
        cases = {((a != s).any().item(), (b != s).any().item()) for a, b, s in zip(ir, vis, noisy, strict=True)}
        assert cases == {(True, False), (False, True), (True, True)}

    def spread(self, name, strength, seeds=range(12)):
        """Standard deviations of the kernel along its two axes, longer first, for many draws."""
        dot = torch.zeros(1, 1, 41, 41)
        dot[..., 20, 20] = 1
        out = []
        t = torch.arange(41.0) - 20
        for seed in seeds:
            kernel = degrade(name, (dot, dot), strength, seed)
            kernel = next(k for k in kernel if not torch.equal(k, dot))[0, 0]
            assert kernel.sum().item() == pytest.approx(1, abs=1e-4)
            x2, y2 = (kernel * t**2).sum(), (kernel * t[:, None] ** 2).sum()
            xy = (kernel * t * t[:, None]).sum()
            out.append(
                torch.linalg.eigvalsh(torch.stack([torch.stack([x2, xy]), torch.stack([xy, y2])])).flip(0).sqrt()
            )
        return torch.stack(out)

    def test_gaussian_blur_is_round_and_has_its_sigma(self):
        sigma = self.spread('blur', 0.5)
        assert sigma.flatten().tolist() == pytest.approx([1.15] * 24, rel=0.05)

    def test_anisotropic_blur_is_elongated(self):
        sigma = self.spread('anisotropic_blur', 1.0)
        assert ((sigma[:, 1] / sigma[:, 0]) < 0.72).all() and (sigma[:, 0] > 1.9).all() and (sigma[:, 0] < 2.4).all()

    def test_motion_blur_is_a_line(self):
        sigma = self.spread('motion_blur', 1.0)
        # a uniform line of 13 pixels has a standard deviation of 13 / sqrt(12)
        assert (sigma[:, 0] - 13 / 12**0.5).abs().max() < 0.3 and (sigma[:, 1] < 0.6).all()

    @pytest.mark.parametrize('quality', [30, 50, 75, 90])
    def test_jpeg_is_that_of_a_real_encoder(self, quality, scenes):
        image = scenes[1][:1, :, :61, :90]
        ours = code_jpeg(image, torch.tensor([float(quality)]))[0, 0] * 255
        pixels = (image[0, 0] * 255).round().byte().numpy()
        coded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        theirs, pixels = (torch.from_numpy(x).float() for x in (cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), pixels))
        # encoders round within their transforms, too
        assert (ours - theirs).abs().mean() < 0.4 < 0.2 * (theirs - pixels).abs().mean()

    def test_poisson_noise_has_the_variance_of_photons(self):
        for value in (0.2, 0.5):
            level = torch.full((16, 1, 64, 64), value)
            _, vis = degrade('poisson_noise', (level, level), 0.5)
            assert vis.mean().item() == pytest.approx(value, rel=0.01)
            assert vis.var().item() == pytest.approx(value * 0.25 / 25, rel=0.05)

    def test_grain_is_visible_alone_and_shared_by_neighbours(self):
        level = torch.full((16, 1, 64, 64), 0.5)
        ir, vis = degrade('grain_noise', (level, level), 0.6)
        grain = vis - level
        assert torch.equal(ir, level) and grain.std().item() == pytest.approx(0.6 * 0.15, rel=0.03)
        assert (grain[..., 1:] * grain[..., :-1]).mean() / grain.square().mean() > 0.4

    def test_stripes_run_along_lines(self):
        ir, _ = degrade('stripe_noise', (self.GRAY, self.GRAY), 0.5)
        by_column, by_row = ((ir.std(dim=d, correction=0) < 1e-6).flatten(1).all(1) for d in (-2, -1))
        assert (by_column ^ by_row).all() and by_column.any() and by_row.any()

    def test_dead_pixels_are_few_stuck_and_only_added(self):
        level = torch.full((4, 1, 128, 128), 0.5)
        few, many = (degrade('dead_pixels', (level, level), s)[0] for s in (0.3, 1.0))
        assert set(many.unique().tolist()) == {0.0, 0.5, 1.0}
        assert 0.015 < (many != 0.5).float().mean() < 0.03
        assert torch.equal(many[few != 0.5], few[few != 0.5])

    def test_haze_is_thicker_in_the_distance(self):
        dark = torch.full((16, 1, 64, 64), 0.1)
        _, vis = degrade('haze', (dark, dark), 0.6)
        assert (vis[..., :16, :].mean((1, 2, 3)) > vis[..., -16:, :].mean((1, 2, 3)) + 0.1).all()

    def test_rain_falls_down(self):
        dark = torch.full((8, 1, 96, 96), 0.1)
        _, vis = degrade('rain', (dark, dark), 0.5)
        across, down = ((vis.diff(dim=d) ** 2).mean() for d in (-1, -2))
        assert across > 3 * down

    def test_more_rain_keeps_the_streaks_there_are(self):
        dark = torch.full((2, 1, 64, 64), 0.1)
        less, more = (degrade('rain', (dark, dark), s)[1] for s in (0.4, 0.8))
        assert (more >= less).all()

    def test_misregistration_is_a_movement(self):
        ramp = (torch.arange(200.0) / 400 + 0.25).expand(8, 1, 100, 200)
        for strength in (0.25, 1.0):
            ir, _ = degrade('misregistration', (ramp, ramp), strength)
            pixels = ((ir - ramp) * 400)[..., 20:-20, 20:-20]
            # 3 % shift, 2 degrees, 2 % scale and 0.5 % bend of an image of 200 columns
            assert pixels.abs().max() < strength * (6 + 50 * 0.035 + 100 * 0.02 + 1.5)
            assert pixels.abs().amax((1, 2, 3)).median() > strength

    def test_occlusion_hides_part_of_one_image(self):
        ir, vis = degrade('occlusion', (torch.full((32, 1, 48, 48), 0.95),) * 2, 1.0)
        hidden_ir, hidden_vis = ((x != 0.95).float().mean((1, 2, 3)) for x in (ir, vis))
        assert ((hidden_ir > 0) ^ (hidden_vis > 0)).all() and (hidden_ir > 0).any() and (hidden_vis > 0).any()
        hidden = hidden_ir + hidden_vis
        assert hidden.min() > 0.05 and hidden.max() < 0.75

    def test_thermal_inversion_ends_at_the_negative(self, scenes):
        ir = scenes[0]
        low, high = ir.amin((2, 3), keepdim=True), ir.amax((2, 3), keepdim=True)
        assert torch.allclose(degrade('thermal_inversion', scenes, 1.0)[0], low + high - ir, atol=1e-6)

    def test_low_resolution_keeps_the_mean_and_loses_detail(self, scenes):
        fine = torch.zeros(16, 1, 64, 64)
        fine[..., ::2] = 1
        ir, vis = degrade('low_resolution', (fine, fine), 1.0)
        assert (torch.minimum(ir.std((1, 2, 3)), vis.std((1, 2, 3))) < 0.1).all()
        assert ir.mean().item() == pytest.approx(0.5, abs=0.01)

    def test_exposure_goes_down_and_up(self, scenes):
        assert (degrade('low_light', scenes, 1.0)[1].mean((1, 2, 3)) < 0.6 * scenes[1].mean((1, 2, 3))).all()
        assert (degrade('over_exposure', scenes, 1.0)[1] >= scenes[1] - 1e-6).all()

    def test_light_bleeds_out_of_saturated_regions(self):
        lamp = torch.full((1, 1, 64, 64), 0.1)
        lamp[..., 28:36, 28:36] = 1
        bright = degrade('over_exposure', (lamp, lamp), 1.0)[1]
        assert bright[0, 0, 32, 42] > bright[0, 0, 32, 2] + 0.02

    def test_gamma_goes_both_ways(self):
        ir, vis = degrade('gamma', (self.GRAY, self.GRAY), 1.0)
        for image in (ir, vis):
            assert sorted(image.unique().tolist()) == pytest.approx([0.25, 0.5**0.5])


class TestDegradePair:
    def test_an_image_does_not_depend_on_its_batch(self, scenes):
        for op in ('rain', 'misregistration', 'noise'):
            batch = degrade_pair(*scenes, op, 0.6, seed=5)
            alone = degrade_pair(scenes[0][2], scenes[1][2], op, 0.6, seed=7)
            assert all(torch.equal(b[2], a) for b, a in zip(batch, alone, strict=True))
            listed = degrade_pair(*scenes, op, 0.6, seed=[1, 2, 7, 3])
            assert all(torch.equal(b[2], a) for b, a in zip(listed, alone, strict=True))

    def test_colour_keeps_its_chroma(self):
        ir, vis = torch.rand(1, 40, 40), 0.3 + 0.4 * torch.rand(3, 40, 40)
        _, hard = degrade_pair(ir, vis, 'brightness', 0.2, seed=1)
        difference = hard - vis
        assert difference.abs().max() > 0.01
        assert torch.allclose(difference, difference.mean(0, keepdim=True).expand(3, -1, -1), atol=1e-5)
        assert torch.equal(degrade_pair(ir, vis, 'brightness', 0.0)[1], vis)

    def test_mistakes(self, scenes):
        with pytest.raises(ValueError, match="unknown degradation 'fog'; known: anisotropic_blur, blur"):
            degrade_pair(*scenes, 'fog', 0.5)
        with pytest.raises(ValueError, match='strength must be in'):
            degrade_pair(*scenes, 'rain', 1.5)
        with pytest.raises(ValueError, match='expected ir'):
            degrade_pair(scenes[0], scenes[1][0], 'rain', 0.5)
        with pytest.raises(ValueError, match='expected ir'):
            degrade_pair(scenes[0].expand(-1, 3, -1, -1), scenes[1], 'rain', 0.5)
        with pytest.raises(ValueError, match='4 pairs need as many seeds, got 2'):
            degrade_pair(*scenes, 'rain', 0.5, seed=[1, 2])


class TestDeclaring:
    def test_mistakes(self):
        with pytest.raises(ValueError, match="unknown stage 'lens'; known: scene, optics"):
            degradation('lens')
        with pytest.raises(ValueError, match='touches must name'):
            degradation('scene', touches=('rgb',))

    def test_your_own(self, scenes):
        @HARD_SAMPLES.register_module()
        @degradation('scene', touches=('vis',))
        def lighten(ir, vis, strength, generator):
            return ir, vis + 2 * strength.view(-1, 1, 1, 1)

        try:
            ir, vis = degrade_pair(*scenes, 'lighten', 1.0)
            assert torch.equal(ir, scenes[0]) and (vis == 1).all()
        finally:
            HARD_SAMPLES.module_dict.pop('lighten')

    def test_forked_generators_differ(self):
        generator = torch.Generator().manual_seed(0)
        first, second = (torch.rand(3, generator=fork(generator, torch.device('cpu'))) for _ in range(2))
        assert not torch.equal(first, second)


def test_the_page_describes_every_operation():
    rows = {line.split('`')[1]: line for line in PAGE.read_text().splitlines() if line.startswith('| `')}
    assert list(rows) == [name for name in known_degradations() if name in OPS]
    for name, row in rows.items():
        stage, changes = (cell.strip() for cell in row.split('|')[2:4])
        assert stage == OPS[name].stage
        assert tuple(m for m in MODALITIES if m in changes) == OPS[name].touches
