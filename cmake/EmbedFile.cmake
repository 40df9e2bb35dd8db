# cmake -DFILE=… -DSYMBOL=… -DOUTPUT=… -P EmbedFile.cmake: a file's bytes as a C array, with a NUL
# behind them that SYMBOL_bytes does not count.
file(READ ${FILE} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1, " hex "${hex}")
file(WRITE ${OUTPUT}
     "#include <stddef.h>\n"
     "extern const unsigned char ${SYMBOL}[];\n"
     "extern const size_t ${SYMBOL}_bytes;\n"
     "const unsigned char ${SYMBOL}[] = {\n${hex}0};\n"
     "const size_t ${SYMBOL}_bytes = ${bytes};\n")
