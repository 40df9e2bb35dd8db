/* histogram.h - latencies in nanoseconds, exact to 1/128, in bounded memory. */
#pragma once
#include <stdint.h>

#define HISTOGRAM_STEPS_LOG2 7
#define HISTOGRAM_STEPS      (1u << HISTOGRAM_STEPS_LOG2)
#define HISTOGRAM_SIZE       ((64 - HISTOGRAM_STEPS_LOG2 + 1) * HISTOGRAM_STEPS)

struct histogram {
    uint64_t total;
    uint64_t largest;
    uint64_t counts[HISTOGRAM_SIZE];
};

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    unsigned shift = value < HISTOGRAM_STEPS
                         ? 0
                         : 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEPS_LOG2 + 1;
    histogram->counts[shift * HISTOGRAM_STEPS + (value >> shift)]++;
    histogram->total++;
    if (value > histogram->largest)
        histogram->largest = value;
}

/* The value that `share` (0…1) of all values do not exceed. */
static inline uint64_t histogram_share(const struct histogram *histogram, double share)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)histogram->total * share);
    for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
        seen += histogram->counts[i];
        if (seen > wanted)
            return (uint64_t)(i % HISTOGRAM_STEPS) << (i / HISTOGRAM_STEPS);
    }
    return histogram->largest;
}
