"""Metric kernels: batched torch functions, one module a family, for CPU and GPU.

The functions named after metrics take gray images and a stated range, ``vif(ir, vis, fused, data_range=1)``, and return
one value per image. Those on which losses and rewards can be built (:func:`vif`, :func:`qabf`, :func:`nabf`,
:func:`ssim`, :func:`ms_ssim`, :func:`scd`, :func:`cc`, :func:`soft_mi`) are differentiable. The others with longer names
are their parts, for callers that score many images: what depends on the sources alone, and what is left.
"""

from .edges import SourceEdges, compare_edges, source_edges
from .gradient import ag, ag_levels, ei, sf, sf_levels
from .information import (
    ce,
    ce_from_counts,
    en,
    entropy_bits,
    fmi,
    fmi_scores,
    histogram,
    joint_histogram,
    joint_index,
    mi,
    mi_from_counts,
    nmi,
    nmi_from_counts,
    soft_mi,
)
from .levels import check_size, to_levels
from .nabf import nabf, nabf_part, nabf_weights
from .perceptual import qcb, qcv
from .qabf import qabf, qabf_map, qabf_part, qabf_weight
from .ssim import (
    MS_SSIM_SMALLEST,
    SsimForm,
    SsimWindows,
    ms_ssim,
    ms_ssim_scores,
    ms_ssim_windows,
    reduce_sources,
    ssim,
    ssim_form,
    ssim_scores,
    ssim_windows,
)
from .statistics import (
    Moments,
    SourceMoments,
    cc,
    cc_from,
    moments,
    moments_from_counts,
    mse,
    mse_from,
    psnr,
    psnr_from,
    rmse,
    rmse_from,
    scd,
    scd_from,
    sd,
    sd_from,
    source_moments,
)
from .targets import TargetTerms, target_contrast, target_scores, target_terms
from .vif import VIF_SMALLEST, VifWindows, vif, vif_scores, vif_windows
from .windows import sum_pixels
